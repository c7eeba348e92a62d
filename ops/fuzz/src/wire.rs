//! The line codec.
use arbitrary::Unstructured;
use units::{Difficulty, Height, Nonce, Timestamp};
use wire::{
    Answer, Assignment, FromPool, JobTemplate, LINE_MAX, LineError, LineEvent, Lines, Login, Notice, Quarantine,
    RejectCode, Request, Sentence, Strikes, Submit,
};

use crate::draw;

/// A stream cut anywhere is read as if it came at once, and as the definition of a line says.
///
/// The first bytes say where to cut; a zero byte behind them stands for half a line of `x`, so that short inputs reach
/// the limit.
pub fn lines(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let cuts: [u16; 4] = draw(&mut input);
    let mut stream = Vec::new();
    for &byte in input.take_rest() {
        match byte {
            0 => stream.resize(stream.len() + LINE_MAX / 2, b'x'),
            byte => stream.push(byte),
        }
    }
    let mut cuts = cuts.map(|cut| usize::from(cut) % (stream.len() + 1)).to_vec();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
    let defined = defined(&stream);
    assert_eq!(read(&[&stream]), defined, "at once");
    assert_eq!(read(&pieces), defined, "cut at {cuts:?}");
    if stream.len() < 1_024 {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytes), defined, "byte by byte");
    }
}

/// The events of a stream that arrives in pieces, as a session reads it.
fn read(pieces: &[&[u8]]) -> Vec<LineEvent<'static>> {
    let (mut buffer, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut lines = Lines::new(&buffer);
        for event in lines.by_ref() {
            let broken = matches!(event, LineEvent::Broken(_));
            events.push(owned(event));
            if broken {
                return events;
            }
        }
        let consumed = lines.consumed();
        buffer.drain(..consumed);
        assert!(buffer.len() <= LINE_MAX, "a session keeps no more than a line");
    }
    events.extend(Lines::last(&buffer).map(owned));
    events
}

fn owned(event: LineEvent<'_>) -> LineEvent<'static> {
    match event {
        LineEvent::Line(line) => LineEvent::Line(line.into_owned().into()),
        LineEvent::Blank => LineEvent::Blank,
        LineEvent::Broken(error) => LineEvent::Broken(error),
    }
}

/// The same by the definition: split at LF, drop CRs and white space around, stop at the first broken line.
fn defined(stream: &[u8]) -> Vec<LineEvent<'static>> {
    let mut events = Vec::new();
    let mut lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    for line in lines {
        let event = match std::str::from_utf8(line) {
            _ if line.len() > LINE_MAX => LineEvent::Broken(LineError::Overlong),
            Err(_) => LineEvent::Broken(LineError::NotUtf8),
            Ok(text) if text.trim().is_empty() => LineEvent::Blank,
            Ok(text) => LineEvent::Line(text.trim().replace('\r', "").into()),
        };
        events.push(event.clone());
        if matches!(event, LineEvent::Broken(_)) {
            break;
        }
    }
    events
}

/// Any line is a request or not, never a panic; what was understood is understood again when it is printed.
pub fn request(data: &[u8]) {
    let Some(LineEvent::Line(line)) = Lines::last(data) else { return };
    if let Ok(FromPool::Answer(answer)) = FromPool::parse(&line) {
        let _read = (answer.login(), answer.submit());
    }
    let code = RejectCode::of_text(&line);
    assert_eq!(RejectCode::of_text(code.as_str()), code, "a code's own text counts as that code");
    match Request::parse(&line) {
        Ok(Request::Login { id, params: Ok(login) }) => login_again(id, &login),
        Ok(Request::Submit { id, params: Ok(submit) }) => submit_again(id, &submit),
        Ok(Request::Login { id, params: Err(refusal) }) => error_again(id, &refusal.to_string()),
        Ok(Request::Submit { id, params: Err(reject) }) => error_again(id, &reject.to_string()),
        Ok(Request::Unknown { id }) => error_again(id, wire::UNKNOWN_METHOD),
        Err(bad) => error_again(0, &bad.to_string()),
    }
    error_again(u64::MAX, &line);
}

fn login_again(id: u64, login: &Login) {
    assert!(!login.worker.chars().any(char::is_control) && (1..=64).contains(&login.worker.chars().count()));
    assert!((1..=128).contains(&login.address.chars().count()) && (1..=2).contains(&login.protocol_version));
    let mut out = Vec::new();
    wire::write_login(&mut out, id, &login.address, &login.worker, login.difficulty_hint);
    let Ok(Request::Login { id: again, params: Ok(read) }) = Request::parse(one_line(&out)) else {
        panic!("{login:?} is not read back")
    };
    assert_eq!((again, &read.address, &read.worker), (id, &login.address, &login.worker));
    assert_eq!((read.protocol_version, read.difficulty_hint), (2, login.difficulty_hint));
}

fn submit_again(id: u64, submit: &Submit<'_>) {
    let job = submit.job();
    assert!(job.is_none_or(|job| wire::format_job_id(job) == submit.job_id.as_bytes()), "a job id has one form");
    let claim = match submit.claim() {
        Ok(claim) => claim,
        Err(reject) => {
            assert_eq!(RejectCode::of_text(&reject.to_string()), reject.code());
            return error_again(id, &reject.to_string());
        }
    };
    assert_eq!(claim.is_some(), submit.claimed_hash.is_some());
    let mut out = Vec::new();
    wire::write_submit(&mut out, id, &submit.job_id, submit.nonce.get(), claim.as_ref());
    let Ok(Request::Submit { id: again, params: Ok(read) }) = Request::parse(one_line(&out)) else {
        panic!("{submit:?} is not read back")
    };
    assert_eq!((again, &read.job_id, read.nonce, read.claim()), (id, &submit.job_id, submit.nonce, Ok(claim)));
}

fn error_again(id: u64, text: &str) {
    let mut out = Vec::new();
    wire::write_error(&mut out, id, text);
    let answer = answer(&out);
    assert_eq!((answer.id, answer.error.as_deref(), answer.is_ok()), (id, Some(text), false));
}

/// Everything the pool can say is one line of JSON that the miner's side reads as what it was.
pub fn replies(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (id, verified, difficulty): (u64, bool, u64) = draw(&mut input);
    let difficulty = Difficulty::new(difficulty).unwrap_or(Difficulty::MAX);
    let mut out = Vec::new();
    wire::write_submit_ok(&mut out, id, verified, difficulty);
    let read = answer(&out);
    let result = read.submit().expect("an accepted submit");
    assert_eq!((read.id, result.accepted, result.verified), (id, true, verified));
    assert_eq!(result.difficulty, difficulty.get());

    let (version, required) = (if draw(&mut input) { 1 } else { 2 }, draw(&mut input));
    let mut out = Vec::new();
    wire::write_login_ok(&mut out, id, version, required);
    let result = answer(&out).login().expect("an accepted login");
    assert_eq!((result.protocol_version, result.required_capabilities.len()), (version, usize::from(required)));

    quarantine(id, &mut input);
    job(&mut input, difficulty);
    let text = String::from_utf8_lossy(input.take_rest());
    if !text.is_empty() {
        let mut out = Vec::new();
        wire::write_notification(&mut out, Notice::PoolBlockSolved, &text);
        let read = FromPool::parse(one_line(&out)).expect("a notification");
        assert!(
            matches!(read, FromPool::Notification { kind, message } if kind == "pool_block_solved" && message == text)
        );
    }
}

fn quarantine(id: u64, input: &mut Unstructured<'_>) {
    let (reason, until, remaining, count): (Option<&str>, i64, std::time::Duration, u32) = draw(input);
    let sentence = Sentence { strikes: Strikes::Fraud(count), until: Timestamp::from_ms(until), remaining };
    let quarantine = Quarantine { reason: reason.map(str::to_owned), sentence: Some(sentence) };
    error_again(id, &quarantine.to_string());
}

fn job(input: &mut Unstructured<'_>, difficulty: Difficulty) {
    let (header, network, target): ([u8; 92], [u8; 32], [u8; 32]) = draw(input);
    let (height, job_id, first, last): (u64, u64, u64, u64) = draw(input);
    let template_id: Option<&str> = draw(input);
    let template = JobTemplate::new(&header, &network, Height::new(height), template_id);
    let (target_hex, nonce_first, nonce_last) = (wire::hash_hex(&target), Nonce::new(first), Nonce::new(last));
    let mut out = Vec::new();
    template.write_job(&mut out, &Assignment { job_id, difficulty, target_hex: &target_hex, nonce_first, nonce_last });
    let Ok(FromPool::Job(job)) = FromPool::parse(one_line(&out)) else { panic!("a job is not read back") };
    assert_eq!(wire::parse_job_id(&job.job_id), Some(job_id));
    assert_eq!((job.height, job.nonce_start, job.nonce_end), (height, first, last));
    assert_eq!((job.difficulty, job.template_id.as_deref()), (Some(difficulty.get()), template_id));
    assert_eq!(job.header_base.len(), 184);
    assert_eq!(wire::parse_claimed_hash(&job.target), Ok(target));
    assert_eq!(job.network_target.as_deref().map(wire::parse_claimed_hash), Some(Ok(network)));
}

fn answer(out: &[u8]) -> Answer<'_> {
    match FromPool::parse(one_line(out)) {
        Ok(FromPool::Answer(answer)) => answer,
        other => panic!("{other:?} is no answer"),
    }
}

/// The line in `out`, which must be the only one, and JSON.
fn one_line(out: &[u8]) -> &str {
    let (end, line) = out.split_last().expect("something was written");
    assert!(*end == b'\n' && !line.contains(&b'\n'), "one line");
    let line = std::str::from_utf8(line).expect("UTF-8");
    assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object()), "{line}");
    line
}
