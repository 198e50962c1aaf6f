//! A disk that refuses: the engine ends with that, and has acknowledged nothing that it does not keep.

use super::*;
use fog::store::StoreError;

/// What a node says to a packet on its failing disk: whether it has taken it, or how it has ended.
fn hand_over(nodes: &mut Nodes, packet: Packet) -> Result<bool, StoreError> {
    let input = Input::Packet { token: Token(9), from: nodes.ids[HONEST], packet };
    let outputs = nodes.engines[MIX].handle(vec![input], START, &mut nodes.rng)?;
    Ok(outputs.iter().any(|output| matches!(output, Output::Disposed(Token(9)))))
}

#[test]
fn a_node_whose_disk_refuses_a_write_has_whatever_it_acknowledged() {
    for writes in 0.. {
        let mut nodes = Nodes::new(|_| {});
        let [first, second] = [1, 2].map(|n| nodes.lone_fragment(MIX, Some(EXIT), n));
        assert!(nodes.hand_over(START, HONEST, MIX, first.clone()));
        nodes.disks[MIX].fail_after(writes);
        let taken = hand_over(&mut nodes, second.clone());
        nodes.cut_power(MIX);
        assert!(nodes.hand_over(START, HONEST, MIX, first), "it comes again");
        assert_eq!(nodes.counts(MIX).replayed, 1, "after {writes} writes: what was acknowledged is not known");
        match taken {
            Err(error) => assert!(matches!(error, StoreError::Io { .. }), "after {writes} writes: {error:?}"),
            Ok(taken) => {
                assert!(taken && writes > 5, "after {writes} writes");
                assert!(nodes.hand_over(START, HONEST, MIX, second));
                assert_eq!(nodes.counts(MIX).replayed, 2, "it was acknowledged");
                return;
            }
        }
        assert!(nodes.hand_over(START, HONEST, MIX, second), "after {writes} writes: its neighbour sends it again");
    }
}

#[test]
fn a_node_whose_disk_refuses_a_read_sends_nothing_and_sends_it_when_the_disk_is_well() {
    let mut nodes = Nodes::new(|_| {});
    let packet = nodes.lone_fragment(MIX, Some(EXIT), 1);
    assert!(nodes.hand_over(START, HONEST, MIX, packet));
    nodes.disks[MIX].fail_reads_after(0);
    let (due, exit) = (START.plus(HELD), nodes.ids[EXIT]);
    let ended = nodes.engines[MIX].handle(vec![Input::LinkUp(exit)], due, &mut nodes.rng);
    assert!(matches!(ended, Err(StoreError::Io { .. })), "{ended:?}");
    nodes.cut_power(MIX);
    let sent = nodes.handle(MIX, due, Input::LinkUp(exit));
    assert!(sent.iter().any(|output| matches!(output, Output::Send { to, .. } if *to == exit)), "{sent:?}");
}
