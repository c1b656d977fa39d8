//! Who is picked when nothing is in the way.

use crate::subject::*;
use serde_json::json;
use weir_shared::time::Moment;

#[test]
fn an_idle_group_is_used_by_weight_whatever_the_algorithm() {
    for algorithm in
        ["least_time", "peak_ewma", "least_request", "random", "round_robin", "ring_hash", "maglev"]
    {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 3, 4]);
        let shares = subject.shares();
        for (id, share) in [("s0", 0.125), ("s1", 0.375), ("s2", 0.5)] {
            assert!((shares[id] - share).abs() <= bound(share), "{algorithm} {id}: {shares:?}");
        }
    }
}

#[test]
fn servers_nobody_has_heard_from_are_used_evenly() {
    for algorithm in ["least_time", "peak_ewma", "prequal"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 1]);
        let shares = subject.shares();
        assert!((shares["s0"] - 0.5).abs() <= bound(0.5), "{algorithm}: {shares:?}");
    }
}

#[test]
fn the_fewest_requests_for_the_weight_win() {
    let subject = Subject::new(json!({"algorithm": "least_request"}), &[1, 4]);
    subject.work(0, 1);
    subject.work(1, 3);
    assert_eq!(subject.pick(), "s1");
    subject.work(1, 6);
    assert_eq!(subject.pick(), "s0", "ten times as many of a weight four times as high");
}

#[test]
fn another_bias_is_a_draw_by_weight_and_what_is_in_flight() {
    for (bias, light) in [(0.0, 0.2), (0.5, 1.0 / (1.0 + 4.0 / 2.0)), (2.0, 1.0 / (1.0 + 4.0 / 16.0))] {
        let settings = json!({"algorithm": "least_request", "comparison": {"active_request_bias": bias}});
        let subject = Subject::new(settings, &[1, 4]);
        subject.work(1, 3);
        let share = subject.share("s0");
        assert!((share - light).abs() <= bound(light), "{bias}: {share} for {light}");
    }
}

#[test]
fn turns_of_weights_that_are_far_apart_are_right_for_the_light_ones_too() {
    let weights = [65_535, 65_534, 65_533, 1, 1000];
    let subject = Subject::new(json!({"algorithm": "round_robin"}), &weights);
    let shares = subject.shares();
    for (n, weight) in weights.iter().enumerate() {
        let (share, ideal) =
            (shares.get(&format!("s{n}")).copied().unwrap_or(0.0), f64::from(*weight) / 197_603.0);
        assert!((share - ideal).abs() <= bound(ideal), "s{n}: {share} for {ideal}");
    }
}

#[test]
fn time_counts_with_what_is_before_in_the_queue() {
    for algorithm in ["least_time", "peak_ewma"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 1]);
        subject.answers(0, 10);
        subject.answers(1, 50);
        assert_eq!(subject.pick(), "s0", "{algorithm}");
        subject.work(0, 5);
        assert_eq!(subject.pick(), "s1", "{algorithm}");
    }
}

#[test]
fn a_server_that_owes_answers_and_is_silent_is_left_alone() {
    for algorithm in ["least_time", "peak_ewma"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 1]);
        subject.answers(0, 10);
        subject.answers(1, 10);
        let asked = Moment(NOW.moment.0 - 500_000);
        subject.server(0).state.latency.asked(asked);
        subject.work(0, 1);
        // Fifty times what it usually takes have passed: the other is better with 40 requests before.
        subject.work(1, 40);
        assert_eq!(subject.pick(), "s1", "{algorithm}");
        subject.server(0).state.latency.settled();
        assert_eq!(subject.pick(), "s0", "{algorithm}: what is only streaming is not silent");
    }
}

#[test]
fn what_servers_say_of_their_load_counts_while_it_is_fresh() {
    let settings = json!({"algorithm": "prequal", "load_reports": {"enabled": true}});
    let subject = Subject::new(settings, &[1, 1]);
    subject.answers(0, 10);
    subject.answers(1, 50);
    assert_eq!(subject.pick(), "s0");
    subject.server(0).state.load_report.in_flight(9, 0, NOW.moment);
    assert_eq!(subject.pick(), "s1", "others keep it busy");
    subject.work(1, 10);
    assert_eq!(subject.pick(), "s0", "we keep the other one busier");
    subject.server(1).state.load_report.in_flight(9, 10, NOW.moment);
    (0..10).for_each(|_| subject.server(1).state.in_flight.end());
    subject.server(0).state.load_report.in_flight(0, 0, NOW.moment);
    subject.server(0).state.load_report.latency(90_000, NOW.moment);
    assert_eq!(subject.pick(), "s1", "it says that it is slow");
    subject.wait(2);
    assert_eq!(subject.pick(), "s0", "what was said is old");
    let off = Subject::new(json!({"algorithm": "prequal"}), &[1, 1]);
    off.answers(0, 10);
    off.answers(1, 50);
    off.server(0).state.load_report.latency(90_000, NOW.moment);
    assert_eq!(off.pick(), "s0", "nobody asked");
}

#[test]
fn a_new_server_gets_its_share_and_no_flood() {
    let subject = Subject::new(json!({"algorithm": "least_time"}), &[1, 1, 1]);
    subject.answers(0, 10);
    subject.answers(1, 10);
    subject.work(0, 2);
    subject.work(1, 2);
    subject.work(2, 1);
    assert_eq!(subject.pick(), "s2");
    subject.work(2, 2);
    assert_ne!(subject.pick(), "s2");
}

#[test]
fn prequal_avoids_the_hot_and_takes_the_fastest_of_the_rest() {
    let subject = Subject::new(json!({"algorithm": "prequal"}), &[1, 1, 1]);
    subject.answers(0, 1);
    subject.answers(1, 30);
    subject.answers(2, 20);
    assert_eq!(subject.pick(), "s0");
    subject.work(0, 6);
    assert_eq!(subject.pick(), "s2");
}

#[test]
fn large_groups_are_sampled_and_still_fair() {
    let weights = vec![1; 100];
    for algorithm in ["least_request", "least_time", "peak_ewma", "prequal"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &weights);
        let shares = subject.shares();
        assert_eq!(shares.len(), 100, "{algorithm}");
        let most = shares.values().copied().fold(0.0, f64::max);
        assert!(most <= 0.01 + bound(0.01), "{algorithm}: {most}");
        // With more choices a loaded server is met less often as the only one.
        subject.work(7, 1000);
        let shares = subject.shares();
        assert!(shares.get("s7").copied().unwrap_or(0.0) < 0.001, "{algorithm}: {shares:?}");
    }
}
