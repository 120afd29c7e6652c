package import IPAMAPI
package import IPAddressing
package import JSONText
package import KubernetesCore

/// What the node wrote down about one attachment before it acted at the API server.
///
/// A hint, never a proof: the ledger's objects decide. Lost, it is rebuilt from them; stale, it costs a read.
package struct JournalEntry: Hashable, Sendable {
    package enum Phase: String, Sendable, CaseIterable {
        /// An ADD wrote the names and then began to create them. Any of them may exist, come to exist, or not.
        case claiming
        /// The addresses were about to be returned, or were.
        case bound
    }

    /// One name at the API server that this attachment holds, or may hold.
    package struct Record: Hashable, Sendable {
        package var name: String
        package var address: IPAddress
        package var pool: String
        package var poolUID: String
        package var cooldownSeconds: Int
        /// What the object was when this attachment was last seen in it; nil while no answer told.
        package var version: ObjectVersion?
        /// Until when a create that was sent may still be committed; nil when none is under way.
        package var mayCommitUntil: Moment?
        /// The IPClaim that the address is kept for; it outlives a release.
        package var claim: ClaimReference?
        /// It was kept for the claim before this attachment took it, so that it is never deleted.
        package var isKept: Bool
        /// Somebody has made it an entry by hand, so that it is read before it is released.
        package var isManual: Bool

        package init(
            name: String, address: IPAddress, pool: String, poolUID: String, cooldownSeconds: Int,
            version: ObjectVersion? = nil, mayCommitUntil: Moment? = nil, claim: ClaimReference? = nil,
            isKept: Bool = false, isManual: Bool = false
        ) {
            self.name = name
            self.address = address
            self.pool = pool
            self.poolUID = poolUID
            self.cooldownSeconds = cooldownSeconds
            self.version = version
            self.mayCommitUntil = mayCommitUntil
            self.claim = claim
            self.isKept = isKept
            self.isManual = isManual
        }
    }

    package var attachment: Attachment
    package var phase: Phase
    /// When the ADD began, on the clock of this boot.
    package var since: Moment
    /// The boot that ``since`` and `mayCommitUntil` count from. No request of an earlier boot is still under way.
    package var bootID: String
    package var pod: PodReference?
    package var netns: SandboxNamespace?
    package var records: [Record]
    /// A DEL came while the journal was not whole, so the ledger may know of more names. A rebuild adds them.
    package var isIncomplete: Bool

    package init(
        attachment: Attachment, phase: Phase, since: Moment, bootID: String, pod: PodReference? = nil,
        netns: SandboxNamespace? = nil, records: [Record], isIncomplete: Bool = false
    ) {
        self.attachment = attachment
        self.phase = phase
        self.since = since
        self.bootID = bootID
        self.pod = pod
        self.netns = netns
        self.records = records
        self.isIncomplete = isIncomplete
    }
}

/// The identity of an object at one moment; writes are made on condition of both.
package struct ObjectVersion: Hashable, Sendable {
    package var uid: String
    package var resourceVersion: String

    package init(uid: String, resourceVersion: String) {
        self.uid = uid
        self.resourceVersion = resourceVersion
    }
}

/// The network namespace of a sandbox: the path may be taken by another one, the inode tells.
package struct SandboxNamespace: Hashable, Sendable {
    package var path: String
    package var inode: UInt64

    package init(path: String, inode: UInt64) {
        self.path = path
        self.inode = inode
    }
}

extension JournalEntry {
    static let format = 1

    func isOfEarlierBoot(than bootID: String) -> Bool { self.bootID != bootID }

    /// Forgets what counted from an earlier boot: no process of it is left, and no request of it is under way.
    mutating func outliveBoot() {
        since = Moment(nanoseconds: .min)
        for index in records.indices { records[index].mayCommitUntil = nil }
    }

    /// How long after the time that a create allowed the server (`?timeout=`) it may still be committed: room for
    /// proxies that hold a request back, and for a server that is stopped in the middle of it.
    static let commitSlack: Duration = .seconds(60)

    package var json: JSON {
        var json: JSON = [
            "format": .int(Self.format), "phase": .string(phase.rawValue),
            "attachment": [
                "networkName": .string(attachment.networkName), "containerID": .string(attachment.containerID),
                "interface": .string(attachment.interface),
            ],
            "since": .int(since.nanoseconds), "bootID": .string(bootID), "records": .array(records.map(\.json)),
        ]
        if let pod {
            json["pod"] = [
                "namespace": .string(pod.namespace), "name": .string(pod.name), "uid": .string(pod.uid),
            ]
        }
        if let netns { json["netns"] = ["path": .string(netns.path), "inode": .int(netns.inode)] }
        if isIncomplete { json["incomplete"] = true }
        return json
    }

    /// What its file holds: the JSON with a checksum in it, for a power failure can leave blocks that were never written.
    var content: [UInt8] {
        var json = json
        json["checksum"] = .string(Self.checksum(of: json))
        return json.serialized()
    }

    /// - Throws: Whatever is not, to the byte, the content of an entry.
    init(content: [UInt8]) throws {
        var json = try JSON(parsing: content)
        let checksum = json["checksum"]?.string
        json["checksum"] = nil
        guard checksum == Self.checksum(of: json) else {
            throw JSONDecodingError(path: "checksum", problem: "not that of the entry")
        }
        try self.init(json)
    }

    private static func checksum(of json: JSON) -> String { String(FNV1a.hash(json.serialized()), radix: 16) }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        guard try fields.requiredInt("format") == Self.format else {
            throw fields.error("format", "written by another version")
        }
        guard let phase = Phase(rawValue: try fields.requiredString("phase")) else {
            throw fields.error("phase", "unknown")
        }
        let attachment = try fields.requiredFields("attachment")
        var records: [Record] = []
        for record in try fields.list("records") ?? [] { records.append(try Record(record)) }
        self.init(
            attachment: Attachment(
                networkName: try attachment.requiredString("networkName"),
                containerID: try attachment.requiredString("containerID"),
                interface: try attachment.requiredString("interface")),
            phase: phase,
            since: Moment(nanoseconds: Int64(try fields.requiredInt("since"))),
            bootID: try fields.requiredString("bootID"),
            pod: try fields.fields("pod").map { pod throws(JSONDecodingError) in
                PodReference(
                    namespace: try pod.requiredString("namespace"), name: try pod.requiredString("name"),
                    uid: try pod.requiredString("uid"))
            },
            netns: try fields.fields("netns").map { netns throws(JSONDecodingError) in
                SandboxNamespace(
                    path: try netns.requiredString("path"), inode: UInt64(clamping: try netns.requiredInt("inode")))
            },
            records: records,
            isIncomplete: try fields.bool("incomplete") ?? false)
    }
}

extension JournalEntry.Record {
    /// Whether a create of the name that was sent may still be committed.
    func mayStillCommit(at moment: Moment) -> Bool { mayCommitUntil.map { moment < $0 } ?? false }

    var json: JSON {
        var json: JSON = [
            "name": .string(name), "address": .string(address.description), "pool": .string(pool),
            "poolUID": .string(poolUID), "cooldownSeconds": .int(cooldownSeconds),
        ]
        if let version {
            json["uid"] = .string(version.uid)
            json["resourceVersion"] = .string(version.resourceVersion)
        }
        if let mayCommitUntil { json["mayCommitUntil"] = .int(mayCommitUntil.nanoseconds) }
        json["claim"] = claim?.json
        if isKept { json["kept"] = true }
        if isManual { json["manual"] = true }
        return json
    }

    init(_ fields: JSONFields) throws(JSONDecodingError) {
        let text = try fields.requiredString("address")
        guard let address = IPAddress(text) else { throw fields.error("address", "\"\(text)\" is not an IP address") }
        var version: ObjectVersion?
        if let uid = try fields.string("uid") {
            version = ObjectVersion(uid: uid, resourceVersion: try fields.requiredString("resourceVersion"))
        }
        self.init(
            name: try fields.requiredString("name"), address: address, pool: try fields.requiredString("pool"),
            poolUID: try fields.requiredString("poolUID"), cooldownSeconds: try fields.requiredInt("cooldownSeconds"),
            version: version,
            mayCommitUntil: try fields.int("mayCommitUntil").map { Moment(nanoseconds: Int64($0)) },
            claim: try fields.fields("claim").map { claim throws(JSONDecodingError) in try ClaimReference(claim) },
            isKept: try fields.bool("kept") ?? false, isManual: try fields.bool("manual") ?? false)
    }

    /// The record of an allocation that the ledger shows.
    package init(_ allocation: IPAllocation) {
        self.init(
            name: allocation.metadata.name, address: allocation.spec.address, pool: allocation.spec.pool,
            poolUID: allocation.spec.poolUID, cooldownSeconds: allocation.spec.cooldownSeconds,
            version: ObjectVersion(
                uid: allocation.metadata.uid, resourceVersion: allocation.metadata.resourceVersion),
            claim: allocation.spec.claim, isManual: allocation.spec.origin == .manual)
    }
}

extension [JournalEntry.Record] {
    /// Each name once. A record that says where the attachment was seen comes before one that does not, and keeps the
    /// other one's word that a create may still be committed.
    var merged: [JournalEntry.Record] {
        var merged: [JournalEntry.Record] = []
        for record in self {
            guard let index = merged.firstIndex(where: { $0.name == record.name }) else {
                merged.append(record)
                continue
            }
            let limits = [merged[index].mayCommitUntil, record.mayCommitUntil].compactMap(\.self)
            let isKept = merged[index].isKept || record.isKept
            if merged[index].version == nil, record.version != nil { merged[index] = record }
            merged[index].mayCommitUntil = limits.max()
            merged[index].isKept = isKept
        }
        return merged
    }
}
