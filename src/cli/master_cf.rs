//! Postfix's master.cf: services with settings of their own, and which of them take mail in past fog's milter.

use super::main_cf::{members, split};

/// A service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Service {
    /// `submission/inet`.
    pub(super) name: String,
    /// The program.
    command: String,
    /// What stands behind `-o`, name and value.
    options: Vec<(String, String)>,
}

/// What keeps the milter from being asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Gap {
    /// The service it holds for; none if it stands in main.cf.
    pub(super) service: Option<String>,
    /// The parameter.
    pub(super) name: &'static str,
    /// Its value.
    pub(super) value: String,
}

impl Gap {
    /// `the service submission/inet has smtpd_milters=`, or what main.cf has.
    pub(super) fn says(&self) -> String {
        let Self { service, name, value } = self;
        match service {
            Some(service) => format!("the service {service} has {name}={value}"),
            None => format!("main.cf has {name}={value}"),
        }
    }
}

impl Service {
    /// Reads what `postconf -M` prints of one.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, kind) = (words.next()?, words.next()?);
        Self::of(format!("{name}/{kind}"), &words.collect::<Vec<_>>().join(" "))
    }

    /// Of the fields behind name and type.
    pub(super) fn of(name: String, fields: &str) -> Option<Self> {
        let words = split(fields, |c| c.is_ascii_whitespace());
        let (mut options, mut rest) = (Vec::new(), words.get(6..)?.iter());
        while let Some(word) = rest.next() {
            let Some(option) = word.strip_prefix("-o") else { continue };
            let option = if option.is_empty() { rest.next()? } else { option };
            let bare = option.strip_prefix('{').and_then(|option| option.strip_suffix('}')).unwrap_or(option);
            let (name, value) = bare.split_once('=')?;
            options.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Some(Self { name, command: words.get(5)?.clone(), options })
    }

    fn own(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The listener for what comes out of the network.
    fn is_exit(&self) -> bool {
        self.own("syslog_name").is_some_and(|name| name.ends_with("/fogexit"))
    }

    fn gaps(&self, is_ours: &impl Fn(&str) -> bool) -> Vec<Gap> {
        let asked = match self.command.as_str() {
            "smtpd" => "smtpd_milters",
            "cleanup" => "non_smtpd_milters",
            "pickup" | "qmqpd" => "",
            _ => return Vec::new(),
        };
        let goes_round = |name: &str, value: &str| match name {
            "receive_override_options" => has_no_milters(value),
            "smtpd_milter_maps" => asked == "smtpd_milters" && !value.is_empty(),
            list => list == asked && !is_ours(value) && !value.contains("_milters"),
        };
        let names = ["receive_override_options", "smtpd_milter_maps", "smtpd_milters", "non_smtpd_milters"];
        let own = names.into_iter().filter_map(|name| Some((name, self.own(name)?)));
        let gap = |(name, value): (&'static str, &str)| Gap {
            service: Some(self.name.clone()),
            name,
            value: value.to_owned(),
        };
        own.filter(|(name, value)| goes_round(name, value)).map(gap).collect()
    }
}

/// What in master.cf, and of `main`, the values of main.cf, lets mail in past the milter that `is_ours` knows in a list.
pub(super) fn gaps<'m>(
    services: &[Service],
    main: impl Fn(&str) -> &'m str,
    is_ours: impl Fn(&str) -> bool,
) -> Vec<Gap> {
    let options = main("receive_override_options");
    let all = has_no_milters(options).then_some(("receive_override_options", options));
    let maps = main("smtpd_milter_maps");
    let some = (!maps.is_empty()).then_some(("smtpd_milter_maps", maps));
    let of_main = all.into_iter().chain(some);
    let of_main = of_main.map(|(name, value)| Gap { service: None, name, value: value.to_owned() });
    let services = services.iter().filter(|service| !service.is_exit());
    of_main.chain(services.flat_map(|service| service.gaps(&is_ours))).collect()
}

fn has_no_milters(options: &str) -> bool {
    members(options).iter().any(|option| option == "no_milters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_past_the_milter_is_found_and_none_that_is_not() {
        let ours = |list: &str| list.contains("fog/milter.sock");
        for (line, want) in [
            ("smtp inet n - y - - smtpd", ""),
            ("smtp inet n - y - 1 postscreen", ""),
            ("smtpd pass - - y - - smtpd -o receive_override_options=no_address_mappings,no_milters", "no_milters"),
            ("smtpd pass - - y - - smtpd -o smtpd_milters=", "smtpd_milters="),
            ("submission inet n - y - - smtpd -o { smtpd_milters = inet:b:1 inet:c:2 } -o a=b", "inet:b:1 inet:c:2"),
            ("submission inet n - y - - smtpd -o smtpd_milters=unix:fog/milter.sock", ""),
            ("submission inet n - y - - smtpd -o smtpd_milters=$smtpd_milters", ""),
            ("submission inet n - y - - smtpd -osmtpd_milter_maps=cidr:/a", "cidr:/a"),
            ("submission inet n - y - - smtpd -o smtpd_milter_maps=", ""),
            ("pickup unix n - y 60 1 pickup -o receive_override_options=no_milters", "no_milters"),
            ("pickup unix n - y 60 1 pickup -o smtpd_milters=", ""),
            ("cleanup unix n - y - 0 cleanup -o non_smtpd_milters=", "non_smtpd_milters="),
            ("smtp unix - - y - - smtp -o receive_override_options=no_milters", ""),
            ("127.0.0.1:10027 inet n - n - - smtpd -o syslog_name=postfix/fogexit -o smtpd_milters=", ""),
        ] {
            let service = Service::parse(line).unwrap();
            let found = gaps(&[service], |_| "", ours);
            assert_eq!(found.len(), usize::from(!want.is_empty()), "{line}: {found:?}");
            assert!(found.iter().all(|gap| gap.says().contains(want)), "{line}: {found:?}");
        }
        let main = |name: &str| match name {
            "receive_override_options" => "no_unknown_recipient_checks, no_milters",
            "smtpd_milter_maps" => "cidr:/etc/postfix/milters",
            _ => "",
        };
        let found: Vec<String> = gaps(&[], main, ours).iter().map(Gap::says).collect();
        assert_eq!(
            found,
            [
                "main.cf has receive_override_options=no_unknown_recipient_checks, no_milters",
                "main.cf has smtpd_milter_maps=cidr:/etc/postfix/milters"
            ]
        );
    }
}
