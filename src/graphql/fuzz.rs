//! Fuzz targets: documents, and plans beside async-graphql.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_graphql::{Pos, ServerError, Variables};
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::runtime::Runtime;

use super::{Admitted, Answer, Engine, Operation, OperationContext, ResponseSize};
use crate::config::{GraphqlConfig, LimitsConfig};
use crate::domain::{RecordFields, RecordText, RecordTime, ScreenRecord, Timestamp, Unreadable};
use crate::records::Reader;
use crate::records::testing::{put, reader};

/// A schema, and a reader with three cached recordings.
struct Stage {
    engine: Engine,
    reader: Arc<Reader>,
    runtime: Runtime,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime of one thread needs next to nothing");
    let entered = runtime.enter();
    let reader = Arc::new(reader());
    for (id, record) in ["r0", "r1", "r2"].into_iter().zip(records()) {
        put(&reader, "p", id, record);
    }
    drop(entered);
    let config = GraphqlConfig { introspection: true, ..GraphqlConfig::default() };
    Stage { engine: Engine::new(&config, &LimitsConfig::default()), reader, runtime }
});

/// A full recording, an empty one, and one that could not be read.
fn records() -> [ScreenRecord; 3] {
    let unreadable = || Unreadable::new("is no value", "\u{0}\"\\\u{2028}😀");
    let end_of_time = jiff::civil::datetime(9999, 12, 31, 23, 59, 59, 1);
    let mut full = RecordFields::default()
        .with_text(RecordText::Id, "R0")
        .with_text(RecordText::DesktopId, "d")
        .with_text(RecordText::Username, "u\u{1f}\"\\\u{7f}")
        .with_text(RecordText::Status, "UPLOAD_COMPLETED");
    full.size = Some(Ok(i64::MAX));
    full.duration = Some(Ok(-1));
    *full.time(RecordTime::Start) = Timestamp::from_utc(end_of_time).map(Ok);
    let mut broken = RecordFields::default();
    for of in [RecordText::DesktopId, RecordText::Username, RecordText::Status] {
        *broken.text(of) = Some(Err(unreadable()));
    }
    broken.size = Some(Err(unreadable()));
    *broken.time(RecordTime::Start) = Some(Err(unreadable()));
    [full.into(), ScreenRecord::default(), broken.into()]
}

fn size() -> Arc<ResponseSize> {
    Arc::new(ResponseSize::new(LimitsConfig::default().max_response_bytes))
}

/// A context with a reader of its own, so that nothing piles up from case to case.
fn context(reader: &Reader) -> OperationContext {
    OperationContext::new(Arc::new(reader.renewed()), Duration::from_secs(15), size())
}

fn variables() -> Variables {
    Variables::from_json(json!({ "p": "p", "r": "r1", "yes": true, "no": false }))
}

/// A document, with the values of four variables.
pub fn execution(bytes: &[u8]) {
    let Ok(query) = str::from_utf8(bytes) else { return };
    let Stage { engine, reader, runtime } = &*STAGE;
    let _entered = runtime.enter();
    let asked = || {
        let query = query.to_owned();
        Operation { query, variables: variables(), ..Operation::default() }
    };
    let Ok(admitted) = engine.admit(vec![asked()]) else { return };
    let Some(admitted) = admitted.into_iter().next().filter(Admitted::is_query) else { return };
    // What is not in the cache is begun, and given up at once.
    let Some(planned) = engine.execute(admitted, context(reader)).now_or_never() else { return };
    let library = engine.execute_without_plan(asked(), context(reader)).now_or_never();
    let Some(Some(library)) = library else { return };
    assert_eq!(shown(&planned), shown(&library), "of {query:?}");
}

/// A document. It is refused with places inside it, or it is valid and within the limits and then has
/// no errors but those of its fields.
pub fn document(bytes: &[u8]) {
    let Ok(query) = str::from_utf8(bytes) else { return };
    let Stage { engine, reader, runtime } = &*STAGE;
    let _entered = runtime.enter();
    let operation = Operation { query: query.to_owned(), ..Operation::default() };
    let admitted = match engine.admit(vec![operation]) {
        Ok(mut admitted) => admitted.pop().expect("one for each operation"),
        Err(error) => return points_into(query, &error),
    };
    match engine.execute(admitted, context(reader)).now_or_never() {
        Some(Answer { body: None, errors, .. }) => {
            assert!(!errors.is_empty());
            for error in &errors {
                points_into(query, error);
            }
        }
        Some(Answer { errors, .. }) => {
            assert!(errors.iter().all(|error| !error.path.is_empty()), "{errors:?}");
        }
        None => {}
    }
}

fn points_into(document: &str, error: &ServerError) {
    assert!(error.message.len() < 2500, "{} bytes of message", error.message.len());
    for Pos { line, column } in &error.locations {
        assert!((1..=1 + document.matches(['\r', '\n']).count()).contains(line), "{error:?}");
        assert!((1..=1 + document.chars().count()).contains(column), "{error:?}");
    }
}

fn shown(answer: &Answer) -> String {
    let data = answer.body.as_deref().map(String::from_utf8_lossy);
    format!("{data:?} {}", serde_json::to_string(&answer.errors).unwrap_or_default())
}
