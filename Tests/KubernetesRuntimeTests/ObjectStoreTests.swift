import JSONText
import KubernetesCore
import KubernetesRuntime
import Testing

@Suite(.timeLimit(.minutes(1))) struct ObjectStoreTests {
    typealias Delta = ObjectDelta<String>

    static func store() -> ObjectStore<String> {
        ObjectStore(decode: { try JSONFields($0).requiredString("value") }, index: { _, value in [value] })
    }

    static func stored(_ value: String, version: String = "1") -> StoredObject<String> {
        StoredObject(uid: "u", resourceVersion: version, value: value)
    }

    static let (a, b) = (ObjectKey(name: "a"), ObjectKey(name: "b"))

    /// Keeps what an observer was told.
    final class Notes: Sendable {
        private let batches = Shared<[[Delta]]>([])

        var all: [[Delta]] { batches.value }

        func observe(_ store: ObjectStore<String>) {
            store.observe { deltas in self.batches.update { $0.append(deltas) } }
        }
    }

    static func list(_ objects: [JSON], _ version: String, into store: ObjectStore<String>) {
        store.beginResync()
        #expect(store.stage(objects) == [])
        store.commitResync(resourceVersion: version)
    }

    @Test func `Observers are told of every difference in its order, a resync as one`() {
        let (store, notes) = (Self.store(), Notes())
        notes.observe(store)
        #expect(notes.all == [])
        Self.list([object("a")], "1", into: store)
        store.apply(.added(object("b", value: "w")))
        store.apply(.modified(object("a", version: "2", value: "x")))
        store.apply(.bookmark(resourceVersion: "3"))
        // The same state once more is no difference.
        store.apply(.modified(object("a", version: "2", value: "x")))
        store.apply(.deleted(object("b", value: "w")))
        #expect(
            notes.all == [
                [.added(Self.a, Self.stored("v"))], [.added(Self.b, Self.stored("w"))],
                [.changed(Self.a, old: Self.stored("v"), new: Self.stored("x", version: "2"))],
                [.deleted(Self.b, old: Self.stored("w"))],
            ])
        Self.list([object("b", value: "y")], "9", into: store)
        #expect(notes.all.last?.count == 2)
        #expect(store.keys == [Self.b])
    }

    @Test func `Whoever begins to observe is told first of what is there`() {
        let (store, notes) = (Self.store(), Notes())
        Self.list([object("a")], "1", into: store)
        notes.observe(store)
        #expect(notes.all == [[.added(Self.a, Self.stored("v"))]])
    }

    @Test func `The store is never older than what its observers are told`() {
        let store = Self.store()
        let seen = Shared<[StoredState<String>]>([])
        store.observe { deltas in
            for delta in deltas { seen.update { $0.append(store[delta.key]) } }
        }
        store.apply(.added(object("a")))
        store.apply(.modified(object("a", version: "2", value: "w")))
        store.apply(.deleted(object("a", version: "3", value: "w")))
        #expect(
            seen.value == [
                .present(Self.stored("v")), .present(Self.stored("w", version: "2")), .absent,
            ])
    }

    @Test func `Readers see the old state until the whole new one is there`() {
        let store = Self.store()
        Self.list([object("a")], "1", into: store)
        store.beginResync()
        _ = store.stage([object("b", value: "w")])
        #expect(store.keys == [Self.a])
        #expect(store.value(Self.b) == nil)
        #expect(store.keys(indexedBy: "w") == [])
        store.commitResync(resourceVersion: "2")
        #expect(store.objects.map(\.key) == [Self.b])
        #expect(store.value(Self.a) == nil)
        #expect(store.keys(indexedBy: "w") == [Self.b])
        #expect(store.keys(indexedBy: "v") == [])
    }

    @Test func `An object that cannot be read is kept as such, and one without a name is given back`() {
        let (store, notes) = (Self.store(), Notes())
        notes.observe(store)
        store.beginResync()
        #expect(store.stage([object("a", value: nil), ["x": 1], object("b")]).map(\.key) == [nil])
        store.commitResync(resourceVersion: "1")
        let problem = ObjectProblem(key: Self.a, problem: "value: missing")
        #expect(store[Self.a] == .unreadable(problem))
        #expect(store.value(Self.a) == nil)
        #expect(store.problems == [problem])
        #expect(store.count == 2)
        #expect(Set(notes.all.joined().map(\.key)) == [Self.a, Self.b])
        #expect(store.apply(.added(["x": 1]))?.key == .some(nil))
        #expect(store.apply(.deleted(["metadata": [:]]))?.key == .some(nil))
        #expect(notes.all.count == 1)
    }

    @Test func `A store has synced when a list was complete, even an empty one`() async throws {
        let store = Self.store()
        let waiting = Task { try await store.waitUntilSynced() }
        store.apply(.added(object("a")))
        store.beginResync()
        #expect(!store.hasSynced)
        store.commitResync(resourceVersion: "1")
        #expect(store.hasSynced)
        #expect(store.count == 0)
        try await waiting.value
        try await store.waitUntilSynced()
    }
}
