//! What one hop is told, 1,189 bytes: `command ‖ delay ‖ id ‖ next mac ‖ next ct`, under a strict grammar.

use super::PeelError;
use super::geometry::{KEM_CT_LEN, MAC_LEN, SLOT_LEN};
use crate::id::{NodeId, SurbId};
use crate::wire::{Malformed, Reader, Writer};

const FORWARD: u8 = 0x01;
const DELIVER: u8 = 0x02;
const REPLY: u8 = 0x03;
const DROP: u8 = 0x04;

/// What a hop is to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Send it on.
    Forward {
        /// To whom.
        next: NodeId,
        /// After how long.
        delay_ms: u32,
    },
    /// The end of a forward packet: the payload is for us.
    Deliver {
        /// How long to hold what comes out of it: an exit mixes too.
        delay_ms: u32,
    },
    /// The end of a packet that used one of our SURBs.
    Reply {
        /// Which.
        surb: SurbId,
    },
    /// Cover traffic ends here; its body is not looked at.
    Drop,
}

/// What the last hop of a forward packet is told. The last hop of a SURB is told by [`surb::make`](super::surb::make).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Take the payload.
    Deliver {
        /// How long to hold what comes out of it.
        delay_ms: u32,
    },
    /// Cover traffic ends here.
    Drop,
}

impl From<Last> for Command {
    fn from(last: Last) -> Self {
        match last {
            Last::Deliver { delay_ms } => Self::Deliver { delay_ms },
            Last::Drop => Self::Drop,
        }
    }
}

/// What the next hop's header needs and this hop's slot carries.
pub(super) struct Next {
    pub(super) mac: [u8; MAC_LEN],
    pub(super) ct: [u8; KEM_CT_LEN],
}

impl Next {
    /// What stands in the last hop's slot.
    pub(super) const ZERO: Self = Self { mac: [0; MAC_LEN], ct: [0; KEM_CT_LEN] };
}

/// Writes a slot.
pub(super) fn encode(command: Command, next: &Next) -> [u8; SLOT_LEN] {
    let (code, delay_ms, id) = match command {
        Command::Forward { next, delay_ms } => (FORWARD, delay_ms, next.0),
        Command::Deliver { delay_ms } => (DELIVER, delay_ms, [0; NodeId::LEN]),
        Command::Reply { surb } => (REPLY, 0, surb.0),
        Command::Drop => (DROP, 0, [0; NodeId::LEN]),
    };
    let mut slot = Writer::with_capacity(SLOT_LEN);
    slot.u8(code).u32(delay_ms).bytes(&id).bytes(&next.mac).bytes(&next.ct);
    slot.finish().try_into().expect("SLOT_LEN is the sum of these fields, by geometry")
}

/// Reads a slot. Whatever the table of docs/spec.md ("Commands") doesn't say is refused: a field that is free to vary
/// is a field to mark packets with.
pub(super) fn decode(slot: &[u8; SLOT_LEN]) -> Result<(Command, Option<Next>), PeelError> {
    let (code, delay_ms, id, next) = fields(slot).expect("SLOT_LEN is the sum of these fields, by geometry");
    let command = match code {
        FORWARD => return Ok((Command::Forward { next: NodeId(id), delay_ms }, Some(next))),
        DELIVER => Command::Deliver { delay_ms },
        REPLY => Command::Reply { surb: SurbId(id) },
        DROP => Command::Drop,
        _ => return Err(PeelError::BadCommand),
    };
    // The last hop has nothing but its command: encoding that again gives the zeros that must stand around it.
    if encode(command, &Next::ZERO) != *slot {
        return Err(PeelError::BadCommand);
    }
    Ok((command, None))
}

fn fields(slot: &[u8; SLOT_LEN]) -> Result<(u8, u32, [u8; NodeId::LEN], Next), Malformed> {
    let mut r = Reader::new(slot);
    let fields = (r.u8()?, r.u32()?, r.array()?, Next { mac: r.array()?, ct: r.array()? });
    r.finish()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            any::<([u8; 32], u32)>().prop_map(|(id, delay_ms)| Command::Forward { next: NodeId(id), delay_ms }),
            any::<u32>().prop_map(|delay_ms| Command::Deliver { delay_ms }),
            any::<[u8; 32]>().prop_map(|id| Command::Reply { surb: SurbId(id) }),
            Just(Command::Drop),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_slot_says_what_was_written(command in command(), mac: [u8; MAC_LEN], ct_byte: u8) {
            let forwards = matches!(command, Command::Forward { .. });
            let next = if forwards { Next { mac, ct: [ct_byte; KEM_CT_LEN] } } else { Next::ZERO };
            let (read, read_next) = decode(&encode(command, &next)).unwrap();
            prop_assert_eq!(read, command);
            prop_assert_eq!(read_next.is_some(), forwards);
            if let Some(read) = read_next {
                prop_assert_eq!((read.mac, read.ct), (next.mac, next.ct));
            }
        }
    }

    #[test]
    fn a_command_that_is_not_in_the_table_is_refused() {
        for code in (0..=u8::MAX).filter(|code| !(FORWARD..=DROP).contains(code)) {
            let mut slot = encode(Command::Drop, &Next::ZERO);
            slot[0] = code;
            assert_eq!(decode(&slot).map(|_| ()), Err(PeelError::BadCommand), "command {code}");
        }
    }

    #[test]
    fn attack_8_a_byte_that_is_not_zero_where_zero_must_be_is_refused() {
        let table = [
            (Command::Deliver { delay_ms: 7 }, 5..SLOT_LEN),
            (Command::Reply { surb: SurbId([7; 32]) }, 1..5),
            (Command::Reply { surb: SurbId([7; 32]) }, 37..SLOT_LEN),
            (Command::Drop, 1..SLOT_LEN),
        ];
        for (command, zeros) in table {
            for at in zeros {
                let mut slot = encode(command, &Next::ZERO);
                slot[at] ^= 0x80;
                assert_eq!(decode(&slot).map(|_| ()), Err(PeelError::BadCommand), "{command:?}, byte {at}");
            }
        }
    }
}
