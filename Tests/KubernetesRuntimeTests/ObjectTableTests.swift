import JSONText
import KubernetesCore
import KubernetesRuntime
import Testing

@Suite struct ObjectTableTests {
    static let a = ObjectKey(name: "a")
    static let b = ObjectKey(name: "b")

    static func table() -> ObjectTable<String> {
        ObjectTable(decode: decode, index: { _, value in ["value/\(value)", "all"] })
    }

    @Sendable static func decode(_ object: JSON) throws -> String { try JSONFields(object).requiredString("value") }

    static func stored(_ value: String, uid: String = "u", version: String = "1") -> StoredObject<String> {
        StoredObject(uid: uid, resourceVersion: version, value: value)
    }

    static func problem(_ key: ObjectKey?) -> ObjectProblem { ObjectProblem(key: key, problem: "value: missing") }

    /// A table that knows the objects, and the deltas that the next ones bring.
    static func resync(_ before: [JSON], _ after: [JSON]) -> (ObjectTable<String>, [ObjectDelta<String>]) {
        var table = table()
        table.beginResync()
        for object in before { _ = table.stage(object) }
        _ = table.commitResync(resourceVersion: "1")
        table.beginResync()
        for object in after { _ = table.stage(object) }
        let deltas = table.commitResync(resourceVersion: "2")
        return (table, deltas)
    }

    struct Step: Sendable {
        let before: JSON?
        let after: JSON?
        let deltas: [ObjectDelta<String>]

        init(_ before: JSON?, _ after: JSON?, _ deltas: [ObjectDelta<String>]) {
            self.before = before
            self.after = after
            self.deltas = deltas
        }
    }

    static let unreadable = object("a", version: "2", value: nil)

    static let steps: [Step] = [
        Step(nil, object("a"), [.added(a, stored("v"))]),
        Step(object("a"), nil, [.deleted(a, old: stored("v"))]),
        Step(object("a"), object("a"), []),
        Step(
            object("a"), object("a", version: "2", value: "w"),
            [.changed(a, old: stored("v"), new: stored("w", version: "2"))]),
        // A version of its own, although what we keep of it is the same: whoever writes to it needs it.
        Step(object("a"), object("a", version: "2"), [.changed(a, old: stored("v"), new: stored("v", version: "2"))]),
        // Deleted and made anew while nobody looked.
        Step(
            object("a"), object("a", uid: "x", version: "2"),
            [.deleted(a, old: stored("v")), .added(a, stored("v", uid: "x", version: "2"))]),
        // Objects that cannot be read.
        Step(nil, unreadable, [.unreadable(a, problem(a), old: nil)]),
        Step(object("a"), unreadable, [.unreadable(a, problem(a), old: stored("v"))]),
        Step(unreadable, unreadable, []),
        Step(unreadable, object("a", version: "3"), [.added(a, stored("v", version: "3"))]),
        Step(unreadable, object("a", version: "3", value: nil), [.unreadable(a, problem(a), old: nil)]),
        Step(unreadable, nil, [.deleted(a, old: nil)]),
        Step(
            unreadable, object("a", uid: "x", version: "3", value: nil),
            [.deleted(a, old: nil), .unreadable(a, problem(a), old: nil)]),
    ]

    @Test(arguments: steps)
    func `A resync brings the difference`(step: Step) {
        let (table, deltas) = Self.resync([step.before].compactMap(\.self), [step.after].compactMap(\.self))
        #expect(deltas == step.deltas)
        #expect(table.count == (step.after == nil ? 0 : 1))
        #expect(table.listedVersion == "2")
    }

    @Test(arguments: steps)
    func `An event brings the same difference`(step: Step) {
        var table = Self.table()
        if let before = step.before { _ = table.put(before) }
        let result = step.after.map { table.put($0) } ?? step.before.map { table.remove($0) }
        #expect(result?.deltas == step.deltas)
        #expect(result?.problem == nil)
        #expect(table.listedVersion == nil)
    }

    @Test func `A resync that is not committed changes nothing, and is forgotten by the next`() {
        var table = Self.table()
        _ = table.put(object("a"))
        table.beginResync()
        _ = table.stage(object("b"))
        #expect(table.keys == [Self.a])
        table.beginResync()
        _ = table.stage(object("a"))
        #expect(table.commitResync(resourceVersion: "2") == [])
        #expect(table.commitResync(resourceVersion: "3") == [])
        #expect(table.listedVersion == "2")
        #expect(table.keys == [Self.a])
    }

    @Test(arguments: [
        "{}", #"{"metadata":{}}"#, #"{"metadata":{"name":"a"}}"#, #"{"metadata":{"name":7,"uid":"u"}}"#, "7",
        #"{"metadata":{"name":"a","uid":"u"}}"#,
    ])
    func `An object that does not say which it is is a problem and nothing else`(text: String) throws {
        let json = try JSON(parsing: text)
        var table = Self.table()
        _ = table.put(object("a"))
        #expect(table.put(json).problem?.key == .some(nil))
        #expect(table.put(json).deltas == [])
        #expect(table.remove(json).deltas == [])
        table.beginResync()
        #expect(table.stage(json)?.key == .some(nil))
        #expect(table[Self.a] == .present(Self.stored("v")))
    }

    @Test func `An object is found by its key and by its index`() {
        var table = Self.table()
        _ = table.put(object("a"))
        _ = table.put(object("a", namespace: "n", value: "w"))
        #expect(table[Self.a] == .present(Self.stored("v")))
        #expect(table[ObjectKey(namespace: "n", name: "a")] == .present(Self.stored("w")))
        #expect(table[Self.b] == .absent)
        #expect(table.keys(indexedBy: "all").count == 2)
        #expect(table.keys(indexedBy: "value/v") == [Self.a])
        _ = table.put(object("a", version: "2", value: "w"))
        #expect(table.keys(indexedBy: "value/v") == [])
        #expect(table.keys(indexedBy: "value/w").count == 2)
        _ = table.put(object("a", version: "3", value: nil))
        #expect(table[Self.a] == .unreadable(Self.problem(Self.a)))
        #expect(table.keys(indexedBy: "value/w").count == 1)
        #expect(table.problems == [Self.problem(Self.a)])
        #expect(table.count == 2)
        #expect(table.objects.map(\.key) == [ObjectKey(namespace: "n", name: "a")])
    }

    @Test func `What did not change is not decoded again`() {
        let decoded = Shared<[String]>([])
        var table = ObjectTable<String>(decode: { json in
            decoded.update { $0.append(json["metadata"]?["name"]?.string ?? "") }
            return ""
        })
        for version in ["1", "2"] {
            table.beginResync()
            _ = table.stage(object("a"))
            _ = table.stage(object("b", version: version))
            _ = table.commitResync(resourceVersion: version)
        }
        #expect(decoded.value == ["a", "b", "b"])
    }

    @Test func `Whoever follows the deltas has what the table has, whatever happens`() {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<50 {
            var table = Self.table()
            // The cluster, and what an observer has made of the deltas.
            var cluster: [String: JSON] = [:]
            var mirror: [ObjectKey: StoredObject<String>?] = [:]
            var version = 0
            func change() -> (name: String, object: JSON?) {
                let name = ["a", "b", "c", "d"].randomElement(using: &generator) ?? "a"
                version += 1
                let isDeletion = cluster[name] != nil && Int.random(in: 0..<4, using: &generator) == 0
                let value: JSON? = Int.random(in: 0..<5, using: &generator) == 0 ? nil : .string("v\(version)")
                let uid = cluster[name]?["metadata"]?["uid"]?.string ?? "u\(version)"
                let new: JSON? =
                    isDeletion ? Optional.none : object(name, uid: uid, version: "\(version)", value: value)
                let old = cluster[name]
                cluster[name] = new
                return (name, new ?? old)
            }
            func follow(_ deltas: [ObjectDelta<String>]) {
                for delta in deltas {
                    switch delta {
                    case .added(let key, let new):
                        #expect(mirror[key] == nil || mirror[key] == .some(nil))
                        mirror[key] = .some(new)
                    case .changed(let key, let old, let new):
                        #expect(mirror[key] == .some(old))
                        mirror[key] = .some(new)
                    case .deleted(let key, let old):
                        #expect(mirror[key] == .some(old))
                        mirror[key] = nil
                    case .unreadable(let key, _, let old):
                        #expect((mirror[key] ?? nil) == old)
                        mirror[key] = .some(nil)
                    }
                }
            }
            for _ in 0..<60 {
                if Int.random(in: 0..<8, using: &generator) == 0 {
                    // Missed events, then a resync.
                    for _ in 0..<Int.random(in: 0..<6, using: &generator) { _ = change() }
                    table.beginResync()
                    for object in cluster.values { _ = table.stage(object) }
                    follow(table.commitResync(resourceVersion: "\(version)"))
                } else {
                    let (name, json) = change()
                    guard let json else { continue }
                    follow((cluster[name] == nil ? table.remove(json) : table.put(json)).deltas)
                }
                #expect(table.count == cluster.count)
                for (name, json) in cluster {
                    let key = ObjectKey(name: name)
                    let value = json["value"]?.string
                    let version = json["metadata"]?["resourceVersion"]?.string ?? ""
                    let uid = json["metadata"]?["uid"]?.string ?? ""
                    #expect(
                        table[key]
                            == (value.map { .present(Self.stored($0, uid: uid, version: version)) }
                                ?? .unreadable(Self.problem(key))))
                }
                #expect(Set(mirror.keys) == Set(table.keys))
                for (key, stored) in mirror {
                    #expect(stored.map { .present($0) } ?? .unreadable(Self.problem(key)) == table[key])
                }
                #expect(table.keys(indexedBy: "all") == Set(table.objects.map(\.key)))
            }
        }
    }
}
