//! The bus against a model: whoever resumes is told everything once, or that something is missing.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::Value;
use weir_shared::{
    id::{Epoch, Revision},
    time::{Moment, Now, Timestamp},
};

use super::{
    Bus, Consumer, EventId, Filter, Item, MAX_CONSUMERS, Observed, Reset, ResetReason, Start, Topic,
};
use crate::store::{Commit, CommitMeta, KEPT_FOR, KEPT_REVISIONS, Memory, Store};

/// A bus with its store, over several lives of the process.
struct World {
    store: Arc<Memory>,
    bus: Bus,
    epoch: u32,
    clock: i64,
    revision: u64,
    /// Number of the last observed event, over all lives.
    observed: u64,
    /// The number before the first of this life.
    born: u64,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(Memory::default());
        let epoch = Epoch("000000".into());
        store.initialise(epoch.clone()).await.unwrap();
        let bus = Bus::new(epoch, Revision(0), now(1000));
        Self { store, bus, epoch: 0, clock: 1000, revision: 0, observed: 0, born: 0 }
    }

    async fn commit(&mut self) {
        let meta = CommitMeta { at: Timestamp(self.clock), ..CommitMeta::default() };
        let base = Revision(self.revision);
        let commit = Commit { base, ops: Vec::new(), records: Vec::new(), meta: meta.clone() };
        let revision = self.store.commit(commit).await.unwrap();
        self.revision = revision.0;
        self.bus.committed(revision, Some(&meta));
    }

    fn observe(&mut self, number: u64) {
        let numbers: Vec<u64> = (self.observed + 1..=self.observed + number).collect();
        self.observed += number;
        self.bus.publish_all(Observed::Health, "web", &numbers);
    }

    /// The process ends and starts again.
    fn restart(&mut self) {
        // Nobody tells more than one event per microsecond.
        self.clock += 1000;
        self.born = self.observed;
        self.bus =
            Bus::new(Epoch(format!("{:06x}", self.epoch).into()), Revision(self.revision), now(self.clock));
    }

    async fn renew(&mut self) {
        self.epoch += 1;
        self.store.renew(Epoch(format!("{:06x}", self.epoch).into())).await.unwrap();
        self.restart();
    }

    fn listen(&self, start: Start) -> Consumer {
        let store: Arc<dyn Store> = Arc::clone(&self.store) as _;
        self.bus.listen(Filter::default(), start, Some(store)).unwrap()
    }
}

fn now(millis: i64) -> Now {
    Now { moment: Moment(0), wall: Timestamp(millis) }
}

/// What a listener was told, in order.
#[derive(Debug, Default)]
struct Told {
    /// Since the last reset of the topic.
    revisions: Vec<u64>,
    numbers: Vec<u64>,
    resets: Vec<Reset>,
    /// The id of each item, and how many revisions and numbers were told with it.
    marks: Vec<(EventId, usize, usize)>,
}

impl Told {
    fn was_reset(&self, topic: Topic) -> bool {
        self.resets.iter().any(|reset| reset.topics.contains(&topic))
    }
}

/// Everything there is to be told until the bus is closed or the listener would wait.
async fn drain(consumer: &mut Consumer) -> Told {
    let mut told = Told::default();
    while let Ok(items) = tokio::time::timeout(Duration::from_millis(1), consumer.next()).await {
        if items.is_empty() {
            break;
        }
        for item in items {
            let id = match item {
                Item::Event(position, event) => {
                    let data: Value = serde_json::from_str(&event.data).unwrap();
                    match event.topic {
                        Topic::Config => told.revisions.push(data["revision"].as_u64().unwrap()),
                        Topic::Health | Topic::Drain | Topic::Listeners | Topic::Certificates => {
                            told.numbers.push(data.as_u64().unwrap())
                        }
                    }
                    consumer.id(position)
                }
                Item::Reset(position, reset) => {
                    if reset.topics.contains(&Topic::Config) {
                        told.revisions.clear();
                    }
                    if reset.topics.contains(&Topic::Health) {
                        told.numbers.clear();
                    }
                    told.resets.push(reset);
                    consumer.id(position)
                }
            };
            told.marks.push((id, told.revisions.len(), told.numbers.len()));
        }
    }
    told
}

fn whole(after: u64, to: u64) -> Vec<u64> {
    (after + 1..=to).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// What happens in the world.
#[derive(Clone, Debug)]
enum Step {
    Commit(u64),
    Observe(u64),
    Restart,
    Renew,
    /// So much time passes that old revisions are forgotten.
    Age,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..200_u64).prop_map(Step::Commit),
        6 => (1..200_u64).prop_map(Step::Observe),
        1 => (9_900..10_100_u64).prop_map(Step::Observe),
        2 => Just(Step::Restart),
        1 => Just(Step::Renew),
        1 => Just(Step::Age),
    ];
    proptest::collection::vec(step, 1..12)
}

/// An id, and what its owner knew: the life of the store, the revision, the observed events.
type Known = (EventId, u32, u64, u64);

async fn play(world: &mut World, step: &Step) -> Known {
    match step {
        Step::Commit(number) => {
            for _ in 0..*number {
                world.commit().await;
            }
        }
        Step::Observe(number) => world.observe(*number),
        Step::Restart => world.restart(),
        Step::Renew => world.renew().await,
        Step::Age => world.clock += i64::try_from(KEPT_FOR.as_millis()).unwrap() + 1,
    }
    (world.bus.id(world.bus.head()), world.epoch, world.revision, world.observed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_resumes_is_told_everything_once_or_a_reset(steps in steps()) {
        runtime().block_on(async {
            let mut world = World::new().await;
            let mut known = Vec::new();
            for step in &steps {
                known.push(play(&mut world, step).await);
            }
            for (id, epoch, revision, observed) in known {
                let told = drain(&mut world.listen(Start::After(id.clone()))).await;
                prop_assert!(told.resets.len() <= 1, "{:?}", told.resets);
                if told.was_reset(Topic::Config) {
                    prop_assert!(told.revisions.is_empty());
                    let is_lost = epoch != world.epoch || world.revision - revision > 1;
                    prop_assert!(is_lost, "a reset without need: {:?} after {}", told.resets, id);
                } else {
                    prop_assert_eq!(epoch, world.epoch);
                    prop_assert_eq!(&told.revisions, &whole(revision, world.revision));
                }
                if told.was_reset(Topic::Health) {
                    prop_assert!(told.numbers.is_empty());
                } else {
                    prop_assert!(observed >= world.born);
                    prop_assert_eq!(&told.numbers, &whole(observed, world.observed));
                }
                // Whoever was cut off in the middle or at the end misses nothing and is told nothing twice.
                for mark in [told.marks.get(told.marks.len() / 2), told.marks.last()] {
                    let Some((id, revisions, numbers)) = mark else { continue };
                    let rest = drain(&mut world.listen(Start::After(id.clone()))).await;
                    prop_assert!(rest.resets.is_empty(), "{:?}", rest.resets);
                    prop_assert_eq!(&rest.revisions, &told.revisions[*revisions..]);
                    prop_assert_eq!(&rest.numbers, &told.numbers[*numbers..]);
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_across_a_restart_and_what_was_observed_is_reset() {
    let mut world = World::new().await;
    world.commit().await;
    world.observe(1);
    let id = world.bus.id(world.bus.head());
    world.commit().await;
    world.observe(1);
    world.restart();
    world.commit().await;
    let told = drain(&mut world.listen(Start::After(id.clone()))).await;
    assert_eq!((told.revisions, told.numbers), (vec![2, 3], vec![]));
    let [reset] = told.resets.as_slice() else { panic!("{:?}", told.resets) };
    assert_eq!(
        (reset.reason, reset.topics.as_slice()),
        (ResetReason::Restarted, &[Topic::Health, Topic::Drain, Topic::Listeners, Topic::Certificates][..])
    );
    let filter = Filter { topics: vec![Topic::Config], upstream: None };
    let store: Arc<dyn Store> = Arc::clone(&world.store) as _;
    let mut consumer = world.bus.listen(filter, Start::After(id), Some(store)).unwrap();
    let told = drain(&mut consumer).await;
    assert_eq!((told.revisions, told.resets), (vec![2, 3], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_is_told_so_once_and_goes_on_from_the_present() {
    let mut world = World::new().await;
    let mut slow = world.listen(Start::Present);
    assert!(drain(&mut slow).await.marks.is_empty());
    world.observe(20_000);
    world.observe(1);
    let told = drain(&mut slow).await;
    assert_eq!(told.resets.iter().map(|reset| reset.reason).collect::<Vec<_>>(), [ResetReason::Slow]);
    assert!(told.numbers.is_empty(), "only what comes after is told");
    world.observe(3);
    assert_eq!(drain(&mut slow).await.numbers, [20_002, 20_003, 20_004]);
    assert_eq!(world.bus.counts().resets(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_reads_changes_from_the_store_until_they_are_forgotten() {
    let mut world = World::new().await;
    let mut slow = world.listen(Start::Present);
    assert!(drain(&mut slow).await.marks.is_empty());
    for _ in 0..KEPT_REVISIONS - 1 {
        world.commit().await;
    }
    let told = drain(&mut slow).await;
    assert_eq!((told.revisions, told.resets), (whole(0, KEPT_REVISIONS - 1), vec![]));
    for _ in 0..=KEPT_REVISIONS {
        world.commit().await;
    }
    let told = drain(&mut slow).await;
    assert_eq!(told.resets.iter().map(|reset| reset.reason).collect::<Vec<_>>(), [ResetReason::Slow]);
    assert_eq!(told.resets[0].revision, Revision(world.revision));
}

#[tokio::test(start_paused = true)]
async fn an_id_of_another_life_or_of_the_future_is_reset() {
    let mut world = World::new().await;
    world.commit().await;
    let old = world.bus.id(world.bus.head());
    world.renew().await;
    let mut future = world.bus.id(world.bus.head());
    future.position.revision.0 += 1;
    future.position.sequence += 1;
    for (start, reason) in [
        (Start::After(old), ResetReason::Epoch),
        (Start::After(future), ResetReason::Unknown),
        (Start::Unknown, ResetReason::Unknown),
    ] {
        let told = drain(&mut world.listen(start.clone())).await;
        let [reset] = told.resets.as_slice() else { panic!("{start:?}: {:?}", told.resets) };
        assert_eq!((reset.reason, reset.topics.len()), (reason, Topic::ALL.len()), "{start:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_asked_for_is_told() {
    let mut world = World::new().await;
    let filter = Filter { topics: vec![Topic::Drain], upstream: Some("api".into()) };
    let mut consumer = world.bus.listen(filter, Start::Present, None).unwrap();
    world.commit().await;
    world.observe(200);
    world.bus.publish(Observed::Drain, "web", &1);
    world.bus.publish(Observed::Drain, "api", &2);
    let told = drain(&mut consumer).await;
    assert_eq!((told.revisions, told.numbers, told.resets), (vec![], vec![2], vec![]));
    assert_eq!(consumer.position(), world.bus.id(world.bus.head()));
}

#[tokio::test(start_paused = true)]
async fn places_are_counted_and_a_closed_bus_ends_streams() {
    let mut world = World::new().await;
    let mut consumers: Vec<Consumer> = (0..MAX_CONSUMERS).map(|_| world.listen(Start::Present)).collect();
    let refused = world.bus.listen(Filter::default(), Start::Present, None);
    assert!(refused.is_err());
    consumers.truncate(1);
    assert_eq!(world.bus.counts().consumers(), 1);
    world.observe(1);
    world.bus.close();
    let consumer = &mut consumers[0];
    assert_eq!(consumer.next().await.len(), 1, "what was told before is heard");
    assert!(consumer.next().await.is_empty() && consumer.next().await.is_empty());
}
