//! Changes of everything beside others: who works them out, who waits, and what is held meanwhile.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Weak, mpsc::channel as blocking_channel},
    task::{Context, Waker},
    time::Duration,
};

use serde_json::json;
use tokio::{runtime::Builder, task::JoinSet, time::timeout};
use weir_shared::{
    id::Epoch,
    table::{Compiler, channel},
};

use super::{change::Unnamed, *};
use crate::store::Memory;

const SOON: Duration = Duration::from_secs(20);

async fn catalog() -> (Writer, Catalog) {
    let (store, epoch) = (Arc::new(Memory::default()), Epoch("abc123".into()));
    store.initialise(epoch.clone()).await.unwrap();
    let clock = Clock::new(tokio::time::Instant::now());
    let compiler = Compiler { workers: 1, ..Compiler::default() };
    let table = compiler.compile(Arc::new(Config::empty(epoch)), None, clock.now()).unwrap();
    let report = StoreReport::new("memory", None, None);
    Writer::new(Some(store), report, compiler, channel(table), clock)
}

fn request(change: Change) -> Request {
    Request {
        change,
        precondition: Precondition::default(),
        mode: Mode::Commit,
        actor: "test".into(),
        request_id: String::new(),
        message: None,
        beside: Beside::default(),
        held: None,
    }
}

/// Everything there shall be, but for what is there already.
fn whole() -> Request {
    let whole = document::read(json!({"upstreams": [{"id": "web"}]}), None).unwrap();
    request(Change::PutConfig { whole, unnamed: Unnamed::Keep, confirmed: None })
}

fn small(id: &str) -> Request {
    let upstream = submitted::upstream(json!({}), id).unwrap();
    request(Change::PutUpstream { id: id.into(), upstream, binding: change::Binding::Off })
}

fn is_pending<T>(future: Pin<&mut impl Future<Output = T>>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Waits until `catalog` has handed over `count` changes that nobody has taken up.
async fn handed_over(catalog: &Catalog, count: usize) {
    let waiting = async {
        while catalog.jobs.max_capacity() - catalog.jobs.capacity() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, waiting).await.unwrap();
}

#[tokio::test]
async fn what_others_have_overtaken_is_given_back_and_worked_out_again() {
    let (writer, catalog) = catalog().await;
    let (before, prepared) = catalog.prepare(whole(), None).await.unwrap();
    let mut overtaking = pin!(catalog.apply(small("other")));
    assert!(is_pending(overtaking.as_mut()));
    let mut stale = pin!(catalog.hand_over(before, Some(prepared), None));
    assert!(is_pending(stale.as_mut()));
    let mut all = JoinSet::new();
    let applying = catalog.clone();
    all.spawn(async move { applying.apply(whole()).await.map(|applied| applied.config.revision) });
    handed_over(&catalog, 3).await;
    let mut task = JoinSet::new();
    task.spawn(writer.run());
    overtaking.await.unwrap();
    assert!(matches!(stale.await.unwrap(), Answer::Stale(..)), "the writer does not do it");
    assert_eq!(all.join_next().await.unwrap().unwrap().unwrap(), Revision(2));
    let config = catalog.config();
    assert_eq!(config.upstreams.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["other", "web"]);
}

#[tokio::test]
async fn what_is_always_overtaken_is_done_by_the_writer_in_the_end() {
    let (writer, catalog) = catalog().await;
    let mut applying = JoinSet::new();
    let others = catalog.clone();
    applying.spawn(async move { others.apply(whole()).await.map(|applied| applied.config.revision) });
    let mut tasks = JoinSet::new();
    handed_over(&catalog, 1).await;
    // Before each of its turns another change comes: this is the writer, one job at a time.
    let (jobs, mut waiting) = (catalog.jobs.clone(), writer.jobs);
    let Job { request, prepared, reply, .. } = waiting.recv().await.unwrap();
    let (mut tries, mut last) = (1, (request, prepared, reply));
    while let (again, Some(outdated), reply) = last {
        assert!(reply.send(Answer::Stale(Box::new(again), outdated)).is_ok());
        let Job { request, prepared, reply, .. } = timeout(SOON, waiting.recv()).await.unwrap().unwrap();
        (tries, last) = (tries + 1, (request, prepared, reply));
    }
    assert_eq!(tries, MAX_PREPARATIONS + 1, "then it is left to the writer");
    drop((jobs, last));
    tasks.spawn(async move { drop(applying.join_next().await) });
    timeout(SOON, tasks.join_all()).await.unwrap();
}

#[tokio::test]
async fn one_whole_configuration_is_in_the_making_at_a_time() {
    let (writer, catalog) = catalog().await;
    let mut first = pin!(catalog.apply(whole()));
    assert!(is_pending(first.as_mut()));
    let second = catalog.clone();
    let mut others = JoinSet::new();
    others.spawn(async move { second.apply(whole()).await.map(|applied| applied.config.revision) });
    let third = catalog.clone();
    others.spawn(async move { third.apply(small("other")).await.map(|applied| applied.config.revision) });
    // The small one does not wait for the first, which nobody asks for its answer yet.
    handed_over(&catalog, 1).await;
    assert_eq!(catalog.turns.available_permits(), 0);
    let mut task = JoinSet::new();
    task.spawn(writer.run());
    first.await.unwrap();
    for done in timeout(SOON, others.join_all()).await.unwrap() {
        done.unwrap();
    }
    assert_eq!(catalog.turns.available_permits(), 1);
}

#[test]
fn what_is_held_is_held_by_the_work_and_not_by_the_caller() {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (_writer, catalog) = catalog().await;
        let place: Arc<dyn Any + Send + Sync> = Arc::new("place");
        let watched: Weak<_> = Arc::downgrade(&place);
        // The one thread for work is taken, so that the work is still to be done when the caller goes.
        let (release, held) = blocking_channel::<()>();
        let blocker = spawn_blocking(move || held.recv().is_ok());
        {
            let mut applying = pin!(catalog.apply(Request { held: Some(place), ..whole() }));
            assert!(is_pending(applying.as_mut()));
        }
        assert!(watched.upgrade().is_some() && catalog.turns.available_permits() == 0);
        release.send(()).unwrap();
        assert!(blocker.await.unwrap());
        // Whatever is done after it.
        spawn_blocking(|| ()).await.unwrap();
        assert!(watched.upgrade().is_none() && catalog.turns.available_permits() == 1);
    });
}
