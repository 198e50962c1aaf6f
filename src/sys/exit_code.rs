//! Exit codes: those of sysexits(3), and no others.

/// How a verb ended. The numbers are part of the interface (fog(8)); the MTA's pipe uses only `Ok` and `TryAgain`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// The answer to what was asked is "no": verify failed, ping lost something. With `status --nagios`, a warning.
    No = 1,
    /// Critical, in the words of monitoring programs: only with `status --nagios`.
    Critical = 2,
    /// Not known, in theirs: only with `status --nagios`.
    Unknown = 3,
    /// The command line is wrong.
    Usage = 64,
    /// The data that came in is wrong.
    Data = 65,
    /// A file that was named isn't there or can't be read.
    NoInput = 66,
    /// An address is wrong, or nobody takes mail for it.
    Address = 67,
    /// The node isn't running.
    Unavailable = 69,
    /// A bug in fog.
    Bug = 70,
    /// Something is there already and is not overwritten.
    Exists = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Not now; the same again later may work.
    TryAgain = 75,
    /// Not allowed.
    Permission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl ExitCode {
    /// The number the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_sysexits() {
        let numbers = [ExitCode::Ok, ExitCode::No, ExitCode::Usage, ExitCode::TryAgain, ExitCode::Config];
        assert_eq!(numbers.map(ExitCode::number), [0, 1, 64, 75, 78]);
    }
}
