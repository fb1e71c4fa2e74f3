//! What it costs to compress answers, and what it saves: `http.compression`'s coding, levels and least size
//! come from here. Sizes are printed first.
#![expect(clippy::unwrap_used, reason = "what a benchmark sets up itself has to work")]
#![expect(clippy::print_stdout, reason = "sizes are half of the result")]

use std::fmt::Write as _;
use std::io::Write as _;

use divan::{Bencher, black_box};

/// Numbers of recordings in an answer.
const ROWS: [usize; 7] = [1, 2, 3, 5, 10, 100, 1000];
/// Codings and levels, from the cheapest on.
const WAYS: [(&str, u32); 9] = [
    ("gzip", 1),
    ("gzip", 4),
    ("gzip", 6),
    ("br", 1),
    ("br", 4),
    ("br", 5),
    ("zstd", 1),
    ("zstd", 3),
    ("zstd", 6),
];

fn main() {
    for rows in ROWS {
        let body = answer(rows);
        let sizes = WAYS.map(|(coding, level)| {
            format!("{coding} {level}: {}", compressed(coding, level, &body).len())
        });
        println!("{rows} recordings, {} bytes: {}", body.len(), sizes.join(", "));
    }
    divan::main();
}

#[divan::bench(args = ROWS)]
fn gzip_1(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("gzip", 1));
}

#[divan::bench(args = ROWS)]
fn gzip_4(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("gzip", 4));
}

#[divan::bench(args = ROWS)]
fn gzip_6(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("gzip", 6));
}

#[divan::bench(args = ROWS)]
fn br_1(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("br", 1));
}

#[divan::bench(args = ROWS)]
fn br_4(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("br", 4));
}

#[divan::bench(args = ROWS)]
fn br_5(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("br", 5));
}

#[divan::bench(args = ROWS)]
fn zstd_1(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("zstd", 1));
}

#[divan::bench(args = ROWS)]
fn zstd_3(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("zstd", 3));
}

#[divan::bench(args = ROWS)]
fn zstd_6(bencher: Bencher<'_, '_>, rows: usize) {
    measure(bencher, rows, ("zstd", 6));
}

fn measure(bencher: Bencher<'_, '_>, rows: usize, (coding, level): (&str, u32)) {
    let body = answer(rows);
    bencher.bench(|| compressed(coding, level, black_box(&body)));
}

fn compressed(coding: &str, level: u32, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let level = flate2::Compression::new(level);
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(body).unwrap();
            writer.finish().unwrap()
        }
        "br" => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, level, 20);
            writer.write_all(body).unwrap();
            writer.into_inner()
        }
        _ => zstd::bulk::compress(body, level.cast_signed()).unwrap(),
    }
}

/// An answer with `rows` recordings, all fields of each. What differs from row to row differs as in real
/// ones: ids and sums are hexadecimal digits without a pattern, names and times are much alike.
fn answer(rows: usize) -> Vec<u8> {
    let mut seed = 0x9E37_79B9_7F4A_7C15;
    let rows: Vec<String> = (0..rows).map(|number| row(number, &mut seed)).collect();
    let list = rows.join(",");
    format!(r#"{{"data":{{"screenRecords":{{"nodes":[{list}],"totalCount":1000}}}}}}"#).into_bytes()
}

fn row(number: usize, seed: &mut u64) -> String {
    let mut digits = |count: usize| {
        let mut text = String::new();
        while text.len() < count {
            // Marsaglia's xorshift: noise enough, and the same in every run.
            *seed ^= *seed << 13;
            *seed ^= *seed >> 7;
            *seed ^= *seed << 17;
            write!(text, "{:016x}", *seed).unwrap();
        }
        text.truncate(count);
        text
    };
    let (id, desktop, policy) = (digits(32), digits(32), digits(32));
    let (video, event) = (digits(64), digits(64));
    let (day, minute, user) = (1 + number % 28, number % 60, number % 37);
    format!(
        r#"{{"id":"{id}","projectId":"089b2f9a3d80d3062f24c00ca4ed5cbd","desktopId":"{desktop}","desktopName":"desktop-{user:04}","username":"user{user}","size":{},"duration":{},"type":"SESSION_CREATE","status":"UPLOAD_COMPLETED","policyId":"{policy}","obsBucket":"recordings-cn-north-4","fileDirectory":"2026/01/{day:02}/{id}","videoFilename":"{id}.mp4","videoFileSha256":"{video}","eventFilename":"{id}.json","eventFileSha256":"{event}","startTime":"2026-01-{day:02}T08:{minute:02}:00Z","endTime":"2026-01-{day:02}T09:{minute:02}:31Z","updateTime":"2026-01-{day:02}T09:{minute:02}:59Z"}}"#,
        1_000_000 + number * 7919,
        60 + number * 31 % 7200,
    )
}
