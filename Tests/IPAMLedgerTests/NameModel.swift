import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

/// The truth about a few names: who holds each one, and which writes of ours are still on their way.
///
/// It decides what becomes of a request – made or not, at once or later, answered or not – and says what the journal
/// must therefore name. Everybody else is in it as events.
struct NameModel {
    struct Object: Equatable {
        var holder: Holder
        var version: String
        var uid: String
        var pool = "low"
    }

    /// A write that was sent, and may be committed until then.
    struct Write {
        var method: APIRequest.Method
        var name: String
        /// The version that it is conditional on; nil for a create.
        var condition: ObjectVersion?
        /// The pool that it names.
        var pool: String
        var until: Moment
    }

    private(set) var objects: [String: Object] = [:]
    private var underWay: [Write] = []
    var now = moment(1000)
    var generator: SplitMix64
    private var counter = 0

    init(seed: UInt64) { generator = SplitMix64(seed: seed) }

    private mutating func fresh() -> String {
        counter += 1
        return "\(counter)"
    }

    // MARK: Requests

    /// What becomes of a request of a caller that gives up at `deadline`.
    mutating func answer(_ request: APIRequest, deadline: Moment) throws -> Answer {
        let name = try #require(request.subject.name)
        guard request.isMutation else {
            if generator.chance(15) {
                return [.timeout, .tooMany, .html(502), .unserved].randomElement(using: &generator) ?? .timeout
            }
            guard let object = objects[name] else { return .notFound }
            return .object(object.holder, version: object.version, uid: object.uid)
        }
        let slack = Int64.random(in: 1...JournalEntry.commitSlack.wholeNanoseconds, using: &generator)
        let write = Write(
            method: request.method, name: name, condition: try Self.condition(of: request),
            pool: try JSON(parsing: request.body ?? [])["spec"]?["pool"]?.string ?? "",
            until: Moment(nanoseconds: deadline.nanoseconds + slack - 1))
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<55: return commit(write)
        case 55..<70:
            _ = commit(write)
            return lost()
        case 70..<84:
            underWay.append(write)
            return lost()
        case 84..<87: return .timeout
        case 87..<91:
            // The first copy was lost with its connection, was made, or is still on its way.
            switch Int.random(in: 0..<3, using: &generator) {
            case 0: break
            case 1: _ = commit(write)
            default: underWay.append(write)
            }
            return .twice(commit(write))
        case 91..<94: return .unreachable
        case 94..<99: return .tooMany
        default: return .forbidden
        }
    }

    private mutating func lost() -> Answer {
        [.timeout, .failed, .html(502), .status(504, "Timeout")].randomElement(using: &generator) ?? .timeout
    }

    private static func condition(of request: APIRequest) throws -> ObjectVersion? {
        guard request.method != .post else { return nil }
        let body = try JSON(parsing: request.body ?? [])
        let place = request.method == .delete ? body["preconditions"] : body["metadata"]
        return ObjectVersion(
            uid: try #require(place?["uid"]?.string), resourceVersion: try #require(place?["resourceVersion"]?.string))
    }

    private mutating func commit(_ write: Write) -> Answer {
        let object = objects[write.name]
        guard let condition = write.condition else {
            guard object == nil else { return .alreadyExists }
            let created = Object(holder: .ours, version: fresh(), uid: fresh(), pool: write.pool)
            objects[write.name] = created
            return .done(version: created.version, uid: created.uid)
        }
        guard let object else { return .notFound }
        if write.method == .patch, object.uid != condition.uid { return .anotherObject }
        guard object.uid == condition.uid, object.version == condition.resourceVersion else { return .conflict }
        switch write.method {
        case .put: objects[write.name] = Object(holder: .ours, version: fresh(), uid: object.uid, pool: write.pool)
        case .patch: change(write.name, to: .cooling)
        case .delete: objects[write.name] = nil
        case .get, .post: break
        }
        return .done(version: objects[write.name]?.version ?? "", uid: object.uid)
    }

    // MARK: Everybody else

    /// Time passes, writes that were under way arrive, and others claim, release, take over and clean up.
    mutating func happen(among names: [String], atMost seconds: Int = 1) {
        now = now + .milliseconds(Int64.random(in: 0...Int64(1000 * seconds), using: &generator))
        underWay.removeAll { $0.until <= now }
        while !underWay.isEmpty, generator.chance(25) {
            _ = commit(underWay.remove(at: Int.random(in: underWay.indices, using: &generator)))
        }
        guard generator.chance(25), let name = names.randomElement(using: &generator) else { return }
        switch objects[name]?.holder {
        case nil: objects[name] = Object(holder: .other, version: fresh(), uid: fresh())
        case .other: change(name, to: [.cooling, .cooling, nil].randomElement(using: &generator) ?? nil)
        case .cooling: change(name, to: [.cooling, .cooling, .other, nil].randomElement(using: &generator) ?? nil)
        default: break
        }
    }

    private mutating func change(_ name: String, to holder: Holder?) {
        let version = fresh()
        guard let holder else { return objects[name] = nil }
        objects[name]?.holder = holder
        objects[name]?.version = version
    }

    // MARK: What must be known

    /// Names that are ours, or that a write under way may make ours.
    private var ours: [(name: String, until: Moment?)] {
        var ours: [(name: String, until: Moment?)] = objects.filter { $0.value.holder == .ours }.map { ($0.key, nil) }
        for write in underWay where write.until > now {
            switch write.method {
            case .post:
                ours.append((write.name, write.until))
            case .put:
                let object = objects[write.name]
                if object?.uid == write.condition?.uid, object?.version == write.condition?.resourceVersion {
                    ours.append((write.name, write.until))
                }
            case .get, .patch, .delete: break
            }
        }
        return ours
    }

    /// What is missing in a journal with these records; nil when it says everything.
    func lack(of records: [JournalEntry.Record]) -> String? {
        for (name, until) in ours {
            guard let record = records.first(where: { $0.name == name }) else { return "\(name) is not written down" }
            if let until, record.mayCommitUntil.map({ $0 < until }) ?? true {
                return "\(name) may be committed until \(until), and is written down with"
                    + " \(record.mayCommitUntil.map { "\($0)" } ?? "no limit")"
            }
        }
        return nil
    }
}
