package import JSONText

/// An object as it was last reported, cut down to the value that its observers need.
package struct StoredObject<Value: Sendable>: Sendable {
    package let uid: String
    package let resourceVersion: String
    package let value: Value

    package init(uid: String, resourceVersion: String, value: Value) {
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.value = value
    }
}

extension StoredObject: Equatable where Value: Equatable {}

/// An object that is there and cannot be read.
package struct ObjectProblem: Hashable, Sendable {
    /// Nil when the object does not even say its name.
    package let key: ObjectKey?
    /// The member and what is wrong with it.
    package let problem: String

    package init(key: ObjectKey?, problem: String) {
        self.key = key
        self.problem = problem
    }
}

/// What happened to one object.
package enum ObjectDelta<Value: Sendable>: Sendable {
    case added(ObjectKey, StoredObject<Value>)
    /// The same object, with another `resourceVersion`.
    case changed(ObjectKey, old: StoredObject<Value>, new: StoredObject<Value>)
    /// `old` is nil when the object could not be read.
    case deleted(ObjectKey, old: StoredObject<Value>?)
    /// The object is there, and its present state cannot be read. Its old state is not kept.
    case unreadable(ObjectKey, ObjectProblem, old: StoredObject<Value>?)

    package var key: ObjectKey {
        switch self {
        case .added(let key, _), .changed(let key, _, _), .deleted(let key, _), .unreadable(let key, _, _): key
        }
    }
}

extension ObjectDelta: Equatable where Value: Equatable {}

/// What a store knows of a name.
package enum StoredState<Value: Sendable>: Sendable {
    case present(StoredObject<Value>)
    case unreadable(ObjectProblem)
    case absent
}

extension StoredState: Equatable where Value: Equatable {}

/// The state of an `ObjectStore`: pure, so that it can be tested against a model.
package struct ObjectTable<Value: Sendable>: Sendable {
    private struct Record: Sendable {
        let uid: String
        let resourceVersion: String
        let content: Result<Value, ObjectProblemError>

        var object: StoredObject<Value>? {
            guard case .success(let value) = content else { return nil }
            return StoredObject(uid: uid, resourceVersion: resourceVersion, value: value)
        }

        var problem: ObjectProblem? {
            if case .failure(let error) = content { error.problem } else { nil }
        }
    }

    private struct ObjectProblemError: Error {
        let problem: ObjectProblem
    }

    private let decode: @Sendable (JSON) throws -> Value
    private let index: @Sendable (ObjectKey, Value) -> [String]
    private var records: [ObjectKey: Record] = [:]
    private var keysByIndex: [String: Set<ObjectKey>] = [:]
    private var staged: [ObjectKey: Record]?
    /// Of the last complete list.
    package private(set) var listedVersion: String?

    /// `decode` and `index` as in `ObjectStore`.
    package init(
        decode: @escaping @Sendable (JSON) throws -> Value,
        index: @escaping @Sendable (ObjectKey, Value) -> [String] = { _, _ in [] }
    ) {
        self.decode = decode
        self.index = index
    }

    package var count: Int { records.count }
    package var keys: [ObjectKey] { Array(records.keys) }
    package var problems: [ObjectProblem] { records.values.compactMap(\.problem) }

    package subscript(key: ObjectKey) -> StoredState<Value> {
        guard let record = records[key] else { return .absent }
        if let problem = record.problem { return .unreadable(problem) }
        return record.object.map { .present($0) } ?? .absent
    }

    package func keys(indexedBy text: String) -> Set<ObjectKey> { keysByIndex[text] ?? [] }

    package var objects: [(key: ObjectKey, object: StoredObject<Value>)] {
        records.compactMap { key, record in record.object.map { (key, $0) } }
    }

    /// All that is there, as if it had just been added.
    package var asAdded: [ObjectDelta<Value>] {
        records.flatMap { key, record in Self.deltas(key, from: nil, to: record) }
    }

    /// What was staged before and not committed is forgotten.
    package mutating func beginResync() {
        staged = [:]
        staged?.reserveCapacity(records.count)
    }

    /// Takes an item of the list. Returns a problem only for an item that does not say which object it is; it is left
    /// out.
    package mutating func stage(_ object: JSON) -> ObjectProblem? {
        guard staged != nil else { return nil }
        do {
            let (key, record) = try record(of: object)
            staged?[key] = record
            return nil
        } catch {
            return ObjectProblem(key: nil, problem: "\(error)")
        }
    }

    /// The staged items become the whole content. An object in the state that is known already brings no delta.
    package mutating func commitResync(resourceVersion: String) -> [ObjectDelta<Value>] {
        guard let new = staged else { return [] }
        staged = nil
        listedVersion = resourceVersion
        var deltas: [ObjectDelta<Value>] = []
        for (key, old) in records where new[key] == nil { deltas += Self.deltas(key, from: old, to: nil) }
        for (key, record) in new { deltas += Self.deltas(key, from: records[key], to: record) }
        records = new
        for delta in deltas { reindex(delta) }
        return deltas
    }

    /// Takes an object that a watch reported as added or changed. It may be the state that is known already.
    package mutating func put(_ object: JSON) -> (deltas: [ObjectDelta<Value>], problem: ObjectProblem?) {
        do {
            let (key, record) = try record(of: object)
            let deltas = Self.deltas(key, from: records[key], to: record)
            records[key] = record
            for delta in deltas { reindex(delta) }
            return (deltas, nil)
        } catch {
            return ([], ObjectProblem(key: nil, problem: "\(error)"))
        }
    }

    /// Takes an object that a watch reported as deleted.
    package mutating func remove(_ object: JSON) -> (deltas: [ObjectDelta<Value>], problem: ObjectProblem?) {
        do {
            let key = try ObjectIdentity(object).key
            let deltas = Self.deltas(key, from: records.removeValue(forKey: key), to: nil)
            for delta in deltas { reindex(delta) }
            return (deltas, nil)
        } catch {
            return ([], ObjectProblem(key: nil, problem: "\(error)"))
        }
    }

    /// A record that is known already is used again, so that a resync of what has not changed decodes nothing.
    private func record(of object: JSON) throws(JSONDecodingError) -> (ObjectKey, Record) {
        let identity = try ObjectIdentity(object)
        if let known = records[identity.key], known.uid == identity.uid,
            known.resourceVersion == identity.resourceVersion
        {
            return (identity.key, known)
        }
        let content: Result<Value, ObjectProblemError>
        do {
            content = .success(try decode(object))
        } catch {
            content = .failure(
                ObjectProblemError(problem: ObjectProblem(key: identity.key, problem: "\(error)")))
        }
        return (
            identity.key,
            Record(uid: identity.uid, resourceVersion: identity.resourceVersion, content: content)
        )
    }

    private static func deltas(_ key: ObjectKey, from old: Record?, to new: Record?) -> [ObjectDelta<Value>] {
        guard let new else { return old.map { [.deleted(key, old: $0.object)] } ?? [] }
        guard let old else { return [appearance(key, new)] }
        if old.uid != new.uid { return [.deleted(key, old: old.object), appearance(key, new)] }
        if old.resourceVersion == new.resourceVersion { return [] }
        if let problem = new.problem { return [.unreadable(key, problem, old: old.object)] }
        guard let oldObject = old.object, let newObject = new.object else { return [appearance(key, new)] }
        return [.changed(key, old: oldObject, new: newObject)]
    }

    private static func appearance(_ key: ObjectKey, _ new: Record) -> ObjectDelta<Value> {
        switch new.content {
        case .success(let value):
            .added(key, StoredObject(uid: new.uid, resourceVersion: new.resourceVersion, value: value))
        case .failure(let error): .unreadable(key, error.problem, old: nil)
        }
    }

    private mutating func reindex(_ delta: ObjectDelta<Value>) {
        let (old, new): (StoredObject<Value>?, StoredObject<Value>?) =
            switch delta {
            case .added(_, let object): (nil, object)
            case .changed(_, let old, let new): (old, new)
            case .deleted(_, let old), .unreadable(_, _, let old): (old, nil)
            }
        let key = delta.key
        if let old {
            for text in index(key, old.value) {
                keysByIndex[text]?.remove(key)
                if keysByIndex[text]?.isEmpty == true { keysByIndex[text] = nil }
            }
        }
        if let new {
            for text in index(key, new.value) { keysByIndex[text, default: []].insert(key) }
        }
    }
}
