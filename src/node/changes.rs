//! Which changes of something that is up or down the log tells of, so that what comes and goes can't fill it.

use std::time::Duration;
use tokio::time;

/// At most one `down` in this time, however often it comes and goes.
const LOG_EVERY: Duration = Duration::from_secs(3600);

/// Up or down, as the log knows it.
#[derive(Debug)]
pub(super) struct Changes {
    /// What the last line said, if there was one.
    said: Option<bool>,
    last_down: Option<time::Instant>,
}

impl Changes {
    /// Of something that is down until it is told otherwise: a first `down` is no news.
    pub(super) const fn of_what_is_down() -> Self {
        Self { said: Some(false), last_down: None }
    }

    /// Of something that is up until it is told otherwise: a first `up` is no news.
    pub(super) const fn of_what_is_up() -> Self {
        Self { said: Some(true), last_down: None }
    }

    /// Of something that nothing is known of: the first state is news, whichever it is.
    pub(super) const fn of_the_unknown() -> Self {
        Self { said: None, last_down: None }
    }

    /// Whether to say `up` now: if the last word was another.
    pub(super) fn up(&mut self) -> bool {
        self.said.replace(true) != Some(true)
    }

    /// Whether to say `down` now: if the last word was another, and the last `down` is long ago. Asked again at each
    /// try, so the log comes to the truth in the end.
    pub(super) fn down(&mut self) -> bool {
        let say = self.said != Some(false) && self.last_down.is_none_or(|last| last.elapsed() >= LOG_EVERY);
        if say {
            (self.said, self.last_down) = (Some(false), Some(time::Instant::now()));
        }
        say
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_logged_once_an_hour() {
        let mut changes = Changes::of_what_is_down();
        let mut lines = 0;
        for _ in 0..24 * 60 {
            lines += u32::from(changes.up()) + u32::from(changes.down());
            time::advance(Duration::from_secs(60)).await;
        }
        assert_eq!(lines, 1 + 2 * 24);
        assert!(changes.said == Some(true) || changes.up(), "the last word is the true one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_down_is_news_of_what_was_unknown_only() {
        assert!(!Changes::of_what_is_down().down());
        assert!(!Changes::of_what_is_up().up() && Changes::of_what_is_up().down());
        let mut unknown = Changes::of_the_unknown();
        assert!(unknown.down() && !unknown.down() && unknown.up() && !unknown.up());
        assert!(Changes::of_the_unknown().up());
    }
}
