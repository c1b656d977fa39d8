//! The form of every error of the API: problem+json (RFC 9457) with all faults pointed at.

use serde_json::Value;
use weir_tests::api::Answer;

/// Requires a problem with this status and code, and returns it.
pub(crate) fn assert_problem(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status(), status, "{}: {}", answer.asked, answer.response.text());
    assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&status.into(), &code.into()),
        "{}: {problem}",
        answer.asked
    );
    for name in ["type", "title", "detail"] {
        assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {problem}");
    }
    let path = answer.asked.split(' ').nth(1).unwrap();
    let path = path.split('?').next().unwrap();
    assert_eq!(problem["instance"], path, "{problem}");
    assert!(problem["request_id"].is_string(), "{problem}");
    problem
}

/// The pointers of the faults, sorted.
pub(crate) fn pointers(problem: &Value) -> Vec<String> {
    let empty = Vec::new();
    let errors = problem["errors"].as_array().unwrap_or(&empty);
    let mut pointers: Vec<String> =
        errors.iter().filter_map(|error| error["pointer"].as_str().map(str::to_owned)).collect();
    pointers.sort();
    pointers
}
