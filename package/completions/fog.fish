# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_fog_global_optspecs
    string join \n c/config= set= j/json q/quiet color= h/help V/version
end

function __fish_fog_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_fog_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_fog_using_subcommand
    set -l cmd (__fish_fog_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c fog -n "__fish_fog_needs_command" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_needs_command" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_needs_command" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_needs_command" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_needs_command" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_needs_command" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_needs_command" -s V -l version -d 'Print version'
complete -c fog -n "__fish_fog_needs_command" -f -a "demo" -d 'A whole network on this machine; watch one letter travel'
complete -c fog -n "__fish_fog_needs_command" -f -a "simulate" -d 'How well a network hides its mail, and how soon it arrives'
complete -c fog -n "__fish_fog_needs_command" -f -a "init" -d 'Write the configuration and the keys; never overwrites'
complete -c fog -n "__fish_fog_needs_command" -f -a "setup" -d 'Tor, Postfix or Exim: show what to change, --apply, --undo'
complete -c fog -n "__fish_fog_needs_command" -f -a "check" -d 'Find what is wrong with this set-up; writes nothing'
complete -c fog -n "__fish_fog_needs_command" -f -a "config" -d 'What is configured (-n: what differs from the defaults)'
complete -c fog -n "__fish_fog_needs_command" -f -a "send" -d 'Hand over a mail (sendmail-like; also the MTA\'s pipe)'
complete -c fog -n "__fish_fog_needs_command" -f -a "route" -d 'How an address would be sent, how long, how well hidden'
complete -c fog -n "__fish_fog_needs_command" -f -a "queue" -d 'What waits here: list | retry | drop'
complete -c fog -n "__fish_fog_needs_command" -f -a "status" -d 'This node, now (--watch, --json, --nagios)'
complete -c fog -n "__fish_fog_needs_command" -f -a "ping" -d 'Whether mail gets through (--link: whether nodes answer)'
complete -c fog -n "__fish_fog_needs_command" -f -a "stats" -d 'Every node\'s last 12 epochs (--html DIR, --format ...)'
complete -c fog -n "__fish_fog_needs_command" -f -a "node-info" -d 'This node\'s signed descriptor, to give to the directory'
complete -c fog -n "__fish_fog_needs_command" -f -a "keys" -d 'This node\'s mix keys: list | rotate'
complete -c fog -n "__fish_fog_needs_command" -f -a "directory" -d 'The document: add | sign | show | fetch | verify | import'
complete -c fog -n "__fish_fog_needs_command" -f -a "block" -d 'Recipients who asked not to be written to'
complete -c fog -n "__fish_fog_needs_command" -f -a "node" -d 'The daemon: mixing, delaying, handing on'
complete -c fog -n "__fish_fog_needs_command" -f -a "exit" -d 'Hand mail that leaves the network to the local MTA'
complete -c fog -n "__fish_fog_needs_command" -f -a "milter" -d 'Take mail for the network out of the MTA\'s hands'
complete -c fog -n "__fish_fog_using_subcommand demo" -l nodes -d 'How many nodes: 4 to 12' -r
complete -c fog -n "__fish_fog_using_subcommand demo" -l input -d 'Send this mail instead of the sample letter' -r -F
complete -c fog -n "__fish_fog_using_subcommand demo" -l to -d 'To whom; it stays on this machine all the same' -r
complete -c fog -n "__fish_fog_using_subcommand demo" -l maildir -d 'Put it into this Maildir, which is made if there is none' -r -F
complete -c fog -n "__fish_fog_using_subcommand demo" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand demo" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand demo" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand demo" -l keep -d 'Leave the network running, and say how to talk to it'
complete -c fog -n "__fish_fog_using_subcommand demo" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand demo" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand demo" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand simulate" -l nodes -d 'How many nodes; each is a mix' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l mails -d 'How many mails, each of two packets' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l exits -d 'How many nodes are exits too; a third of them if not given' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l bad -d 'So many of the others work together against a sender (again for another number)' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l days -d 'The days over which the mails are handed in' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l letters -d 'Letters that the observer looks at, at most' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l model -d 'Who plays: the nodes\' real engines, or their laws alone' -r -f -a "engines\t'A real engine, store and packets for each node'
light\t'Slots, ways, delays and batches alone'"
complete -c fog -n "__fish_fog_using_subcommand simulate" -l seed -d 'Where chance begins: the same number gives the same figures' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l csv -d 'Write the observer\'s figures to this file too' -r -F
complete -c fog -n "__fish_fog_using_subcommand simulate" -l svg -d 'Draw them into this file' -r -F
complete -c fog -n "__fish_fog_using_subcommand simulate" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand simulate" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand simulate" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand simulate" -l no-cover -d 'Without cover: nodes send only mail (light model)'
complete -c fog -n "__fish_fog_using_subcommand simulate" -l no-receipts -d 'Without receipts; exits answer nothing'
complete -c fog -n "__fish_fog_using_subcommand simulate" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand simulate" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand simulate" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand init" -l join -d 'Join the network of this directory document' -r -F
complete -c fog -n "__fish_fog_using_subcommand init" -l trust -d 'An authority whose signature counts, as its operator told you' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l threshold -d 'How many signatures it takes [default: the least that is safe]' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l name -d 'The node\'s name: a-z, 0-9 and -' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l onion -d 'Where others reach it: ADDRESS.onion:PORT or HOST:PORT' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l listen -d 'Where links come in: IP:PORT or unix:PATH [default: the onion\'s target, 127.0.0.1:9999]' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l roles -d 'What it does for others: mix, exit, authority; without, it is an entry only' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l deliver -d 'Who takes an exit\'s mail: smtp:HOST:PORT, lmtp:HOST:PORT, sendmail, maildir:PATH [default: smtp:127.0.0.1:25]' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l from -d 'What an exit\'s mail has as From: `NAME <ADDRESS>`' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l contact -d 'How others reach you' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l family -d 'A name that all your nodes share, so that no path has two of them' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l dir -d 'Put everything into this directory' -r -F
complete -c fog -n "__fish_fog_using_subcommand init" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand init" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand init" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand init" -l new-network -d 'Found a network: this node signs its directory document (see also --set network.KEY=VALUE)'
complete -c fog -n "__fish_fog_using_subcommand init" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand init" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand init" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand setup" -l listen -d 'Tor: where the node listens, as it will be told to fog init [default: as fog.toml says, else 127.0.0.1:9999]' -r
complete -c fog -n "__fish_fog_using_subcommand setup" -l client-auth -d 'Tor: let only those find the onion whose keys stand in this file, a line `NAME KEY` each' -r -F
complete -c fog -n "__fish_fog_using_subcommand setup" -l config-dir -d 'Where its configuration lies [default: /etc/postfix, /etc/exim4, /etc/tor]' -r -F
complete -c fog -n "__fish_fog_using_subcommand setup" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand setup" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand setup" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand setup" -l apply -d 'Do it, and keep a dated copy of each file that is changed'
complete -c fog -n "__fish_fog_using_subcommand setup" -l undo -d 'Take it back; .fog addresses are answered with an error from then on'
complete -c fog -n "__fish_fog_using_subcommand setup" -l exit -d 'Postfix: also the listener that `fog exit` hands its mail to'
complete -c fog -n "__fish_fog_using_subcommand setup" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand setup" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand setup" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -l user -d 'Whom the node runs as [default: fog, if there is such a user]' -r
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -l postfix -d 'Where Postfix has its configuration' -r -F
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -l offline -d 'Ask nothing beyond this machine'
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand check; and not __fish_seen_subcommand_from leaks" -f -a "leaks" -d 'Hand one mail to the MTA, and look where traces of it are left'
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -l postfix -d 'Where Postfix has its configuration' -r -F
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -s y -l yes -d 'Don\'t ask'
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand check; and __fish_seen_subcommand_from leaks" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand config" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand config" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand config" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand config" -s n -l non-default -d 'Only what differs from the defaults'
complete -c fog -n "__fish_fog_using_subcommand config" -s d -l defaults -d 'The defaults, whatever is configured'
complete -c fog -n "__fish_fog_using_subcommand config" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand config" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand config" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand send" -s t -d 'The recipient, with or without .fog; without ADDR, those in the header' -r
complete -c fog -n "__fish_fog_using_subcommand send" -s g -d 'Post to a newsgroup' -r
complete -c fog -n "__fish_fog_using_subcommand send" -s s -d 'The subject, in place of the mail\'s own' -r
complete -c fog -n "__fish_fog_using_subcommand send" -s l -d 'The nodes to go through: \'*,*,kvara\', * for any' -r
complete -c fog -n "__fish_fog_using_subcommand send" -s n -d 'Send so many copies; one is delivered' -r
complete -c fog -n "__fish_fog_using_subcommand send" -s f -d 'Taken for sendmail\'s sake: who to tell of trouble' -r
complete -c fog -n "__fish_fog_using_subcommand send" -l queue-id -d 'The MTA\'s name for the mail: the same mail handed in twice is sent once' -r
complete -c fog -n "__fish_fog_using_subcommand send" -l socket -d 'The node\'s socket' -r -F
complete -c fog -n "__fish_fog_using_subcommand send" -s o -d 'Taken for sendmail\'s sake: -oi is -i' -r -f -a "i\t''"
complete -c fog -n "__fish_fog_using_subcommand send" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand send" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand send" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand send" -l dry-run -d 'Show the mail as its recipient will get it, and send nothing; needs no node'
complete -c fog -n "__fish_fog_using_subcommand send" -l mta -d 'Read what Postfix\'s pipe writes with flags=DORq; end with 0 or 75 only'
complete -c fog -n "__fish_fog_using_subcommand send" -l bsmtp -d 'Read batched SMTP, as Exim\'s pipe writes it; end with 0 or 75 only'
complete -c fog -n "__fish_fog_using_subcommand send" -s v -d 'Say for each recipient that the mail is on its way'
complete -c fog -n "__fish_fog_using_subcommand send" -s i -d 'Taken for sendmail\'s sake: a line with a dot alone never ends the mail'
complete -c fog -n "__fish_fog_using_subcommand send" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand send" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand send" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand route" -l size -d 'How large the mail is, as in 40K' -r
complete -c fog -n "__fish_fog_using_subcommand route" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand route" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand route" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand route" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand route" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand route" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -f -a "list" -d 'The mails that wait: each one\'s name on this node, what for, since when'
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -f -a "retry" -d 'Ask the local MTA again at once; nothing can shorten a delay of the network'
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -f -a "flush" -d 'Ask the local MTA again at once; nothing can shorten a delay of the network'
complete -c fog -n "__fish_fog_using_subcommand queue; and not __fish_seen_subcommand_from list retry flush drop" -f -a "drop" -d 'Forget mails for good; nobody is told'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from list" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from list" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from list" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from retry" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from retry" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from retry" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from retry" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from retry" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from flush" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from flush" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from flush" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from flush" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from flush" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from flush" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -l all -d 'All of them'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -s y -l yes -d 'Don\'t ask'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand queue; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand status" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand status" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand status" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand status" -s w -l watch -d 'Look again every 5 seconds, until interrupted'
complete -c fog -n "__fish_fog_using_subcommand status" -l nagios -d 'One line for a monitoring program; ends with 0 (all is well), 1, 2 or 3 (not known)'
complete -c fog -n "__fish_fog_using_subcommand status" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand status" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand status" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand ping" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand ping" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand ping" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand ping" -s l -l link -d 'Only whether the node answers and proves its key: sends nothing through the network'
complete -c fog -n "__fish_fog_using_subcommand ping" -s s -l show -d 'Don\'t wait: tell how far the loops are that were asked for, ask for no others'
complete -c fog -n "__fish_fog_using_subcommand ping" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand ping" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand ping" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand stats" -l format -d 'How to print it' -r -f -a "text\t'For people: a strip for each node'
json\t'One object'
mlist2\t'The list that clients of the earlier remailers read'
prometheus\t'For the textfile collector of node_exporter'"
complete -c fog -n "__fish_fog_using_subcommand stats" -l html -d 'Write a page, nodes.json and mlist2.txt into DIR [default: stats.publish]' -r -F
complete -c fog -n "__fish_fog_using_subcommand stats" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand stats" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand stats" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand stats" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand stats" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand stats" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand node-info" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand node-info" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand node-info" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand node-info" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand node-info" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand node-info" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -f -a "list" -d 'The epochs of which this node has keys, and which of them the document names'
complete -c fog -n "__fish_fog_using_subcommand keys; and not __fish_seen_subcommand_from list rotate" -f -a "rotate" -d 'Draw other keys for the epochs ahead that no document names yet'
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from list" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from list" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from list" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "add" -d 'Take nodes into the next document, or newer descriptors of those in it'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "remove" -d 'Put nodes out of the next document'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "offer" -d 'Hand this node\'s descriptor in to the authorities'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "sign" -d 'Sign the next document, or the one in FILE, by hand and at once'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "show" -d 'Show the document this node goes by'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "fetch" -d 'Ask other nodes for the document, and go by it if it is to be taken'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "import" -d 'List whom to ask for a descriptor: those in the earlier program\'s nodes.json'
complete -c fog -n "__fish_fog_using_subcommand directory; and not __fish_seen_subcommand_from add remove offer sign show fetch import verify" -f -a "verify" -d 'Say whether a document is to be taken: exit code 0 or 1'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from add" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from add" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from add" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from add" -l authority -d 'Make the authorities of these nodes authorities of the document too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from add" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from remove" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from remove" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from remove" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from remove" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from offer" -l to -d 'To whom: KEY@HOST:PORT, or a node of the document by name or address [default: all authorities]' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from offer" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from offer" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from offer" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from offer" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from offer" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from offer" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from sign" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from sign" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from sign" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from sign" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from sign" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from show" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from show" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from show" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from fetch" -l from -d 'Whom to ask: KEY@HOST:PORT, or a node of the document by name or address [default: directory.sources, else nodes of the document]' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from fetch" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from fetch" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from fetch" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from fetch" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from fetch" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from fetch" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from import" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from import" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from import" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from import" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from verify" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from verify" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from verify" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from verify" -l keep -d 'Go by it from now on, if it is to be taken'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from verify" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand directory; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -f -a "add" -d 'Write to nobody whose ADDRESS, or whose @DOMAIN, stands on a line of standard input'
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -f -a "remove" -d 'Write to them again'
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -f -a "import" -d 'Add all that stand in a file, one a line; empty lines and those with # are left out'
complete -c fog -n "__fish_fog_using_subcommand block; and not __fish_seen_subcommand_from add remove import list" -f -a "list" -d 'Show how many there are, and since when; who they are can\'t be told from the list'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from add" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from add" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from add" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from add" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from remove" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from remove" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from remove" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from remove" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from import" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from import" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from import" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from import" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from list" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from list" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from list" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand block; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand node" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand node" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand node" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand node" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand node" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand node" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand exit" -l socket -d 'The node\'s exit socket' -r -F
complete -c fog -n "__fish_fog_using_subcommand exit" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand exit" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand exit" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand exit" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand exit" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand exit" -s h -l help -d 'Print help'
complete -c fog -n "__fish_fog_using_subcommand milter" -l socket -d 'The node\'s socket' -r -F
complete -c fog -n "__fish_fog_using_subcommand milter" -s c -l config -d 'The configuration file; conf.d/*.toml beside it is read too' -r -F
complete -c fog -n "__fish_fog_using_subcommand milter" -l set -d 'Override one key of the configuration, as in --set spool.max=2G' -r
complete -c fog -n "__fish_fog_using_subcommand milter" -l color -d 'Colour what is printed' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c fog -n "__fish_fog_using_subcommand milter" -s j -l json -d 'Print JSON, errors too'
complete -c fog -n "__fish_fog_using_subcommand milter" -s q -l quiet -d 'Print nothing but errors'
complete -c fog -n "__fish_fog_using_subcommand milter" -s h -l help -d 'Print help'
