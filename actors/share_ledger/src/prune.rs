//! Which folded files stay.
//!
//! A file stays for a day: a restart looks again at the claims of that time. Of an older log the last [`FILES_KEPT`] stay,
//! for audits. The bounds are a number of bytes, as much as may wait to be folded, and [`FILES_MAX`] files, since every
//! process begins one: beyond them the oldest go early, which is counted.
use std::fs::{File, remove_file};

use units::Minute;

use crate::CLAIM_HORIZON;
use share_log::record::FileHead;
use share_log::{LogDirectory, LogError, LogFile, at, read_head, sync_directory};

/// Folded files that stay whatever their age.
const FILES_KEPT: usize = 4;
/// Most folded files.
const FILES_MAX: usize = 1024;

/// What is left.
pub(crate) struct PrunedFiles {
    pub(crate) bytes: u64,
    /// Files that went before they were old enough.
    pub(crate) removed_early: u64,
}

/// Removes folded files, oldest first, so that what is left is always without a gap. `folded` has their lengths; `next`
/// is the header of the file after them, `now` the latest minute that a share was booked to.
pub(crate) fn tidy(
    directory: &LogDirectory,
    folded: &[(LogFile, u64)],
    next: FileHead,
    now: Minute,
    bytes_max: u64,
) -> Result<PrunedFiles, LogError> {
    let mut kept = PrunedFiles { bytes: folded.iter().map(|(_, length)| length).sum(), removed_early: 0 };
    for (place, (file, length)) in folded.iter().enumerate() {
        let left = folded.len() - place;
        if left <= FILES_KEPT {
            break;
        }
        let is_old = ends_before(&folded[place + 1..], next, now)?;
        if !is_old && kept.bytes <= bytes_max && left <= FILES_MAX {
            break;
        }
        remove_file(&file.path).map_err(at(&file.path))?;
        sync_directory(directory.path()).map_err(at(directory.path()))?;
        kept.bytes -= length;
        kept.removed_early += u64::from(!is_old);
    }
    Ok(kept)
}

/// Whether everything before `later` was booked longer ago than claims are looked at. Headers of the first format do not
/// say; the first one that does speaks for all before it.
fn ends_before(later: &[(LogFile, u64)], next: FileHead, now: Minute) -> Result<bool, LogError> {
    let horizon = u32::try_from(CLAIM_HORIZON.as_secs() / 60).unwrap_or(u32::MAX);
    for (file, _) in later {
        let (head, _) = read_head(file, &mut File::open(&file.path).map_err(at(&file.path))?)?;
        if head.minute > Minute(0) {
            return Ok(head.minute.0.saturating_add(horizon) < now.0);
        }
    }
    Ok(next.minute > Minute(0) && next.minute.0.saturating_add(horizon) < now.0)
}

#[cfg(test)]
mod tests {
    use units::Seq;

    use super::*;

    const DAY: u32 = 24 * 60;
    const NOW: Minute = Minute(29_916_666);

    /// What is left of folded files that begin in these minutes, and how many went early. The file after them begins now.
    fn left(minutes: &[u32], bytes_max: u64) -> (Vec<u64>, u64) {
        let place = tempfile::tempdir().unwrap();
        let log = LogDirectory::open(place.path()).unwrap();
        let head = |number, minute| FileHead { number, base: Seq(1), minute: Minute(minute), ..FileHead::default() };
        for (number, minute) in (1..).zip(minutes) {
            drop(log.create(head(number, *minute)).unwrap());
        }
        let folded: Vec<_> = log.files().unwrap().into_iter().map(|file| (file, 48)).collect();
        let kept = tidy(&log, &folded, head(99, NOW.0), NOW, bytes_max).unwrap();
        let left: Vec<_> = log.files().unwrap().iter().map(|file| file.number).collect();
        assert_eq!(kept.bytes, 48 * left.len() as u64);
        (left, kept.removed_early)
    }

    #[test]
    fn every_file_stays_for_a_day_however_many_there_are() {
        let (left, early) = left(&[NOW.0 - DAY; 200], u64::MAX);
        assert_eq!((left.len(), early), (200, 0));
    }

    #[test]
    fn older_files_go_but_for_the_last_ones() {
        let old = NOW.0 - DAY - 1;
        // What is in a file was booked before the next one began.
        assert_eq!(left(&[old, old, old, NOW.0, NOW.0, NOW.0, NOW.0], u64::MAX), (vec![3, 4, 5, 6, 7], 0));
        assert_eq!(left(&[old; 6], u64::MAX), (vec![3, 4, 5, 6], 0));
    }

    #[test]
    fn beyond_the_bounds_the_oldest_go_early_and_are_counted() {
        assert_eq!(left(&[NOW.0; 9], 48 * 6), (vec![4, 5, 6, 7, 8, 9], 3));
        let (left, early) = left(&[NOW.0; FILES_MAX + 2], u64::MAX);
        assert_eq!((left.len(), left[0], early), (FILES_MAX, 3, 2));
    }

    #[test]
    fn files_of_the_first_format_go_when_a_later_one_says_that_they_are_old() {
        let old = NOW.0 - DAY - 1;
        assert_eq!(left(&[0, 0, 0, NOW.0, NOW.0, NOW.0, NOW.0], u64::MAX).0, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(left(&[0, 0, old, NOW.0, NOW.0, NOW.0, NOW.0], u64::MAX).0, [3, 4, 5, 6, 7]);
    }
}
