//! Records of the upstream: any id has one, and it follows from the id and the caller.

/// The project that everything belongs to, which is that of the upstream's documents.
pub const PROJECT: &str = "089b2f9a3d80d3062f24c00ca4ed5cbd";

/// The record of an id as the upstream writes it, in the fields and shapes of its documents. It bears
/// the caller's token as the user's name, so that an answer that went to the wrong caller shows.
pub fn record(project: &str, id: &str, token: &str) -> String {
    let mix = id.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |mix, byte| {
        (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let (desktop, length) = (mix % 40, 60 + mix % 7200);
    let start = instant(mix, 0);
    let end = instant(mix, 2);
    let update = instant(mix, 3);
    let size = length * 300_000;
    format!(
        "{{\"id\":\"{id}\",\"desktop_id\":\"00000000-0000-4000-8000-{desktop:012x}\",\"desktop_name\":\
         \"desktop{desktop:02}\",\"desktop_pool_id\":\"11111111-0000-4000-8000-{desktop:012x}\",\
         \"username\":\"{token}\",\"type\":\"SESSION\",\"status\":\"UPLOAD_COMPLETED\",\"size\":{size},\
         \"duration\":{length},\"start_time\":\"{start}\",\"end_time\":\"{end}\",\"update_time\":\
         \"{update}\",\"policy_id\":\"{mix:016x}{mix:016x}\",\"obs_bucket\":\
         \"wks-screen-record-example\",\"file_directory\":\"records/2026/01/15/\",\"video_filename\":\
         \"video_{project}_{desktop:04}.mp4\",\"event_filename\":\"event_{project}_{desktop:04}.json\",\
         \"video_file_sha256\":\"{mix:064x}\",\"event_file_sha256\":\"{mix:064x}\",\"upload_type\":\
         \"NORMAL\",\"site_type\":\"CENTER\"}}"
    )
}

/// An instant in one of the two shapes that the upstream mostly writes.
fn instant(mix: u64, later: u64) -> String {
    let (day, hour) = (1 + mix % 28, (mix >> 8) % 20 + later);
    let (minute, second, millis) = ((mix >> 16) % 60, (mix >> 24) % 60, (mix >> 32) % 1000);
    if (mix >> 40).is_multiple_of(2) {
        format!("2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    } else {
        format!("2026-01-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}
