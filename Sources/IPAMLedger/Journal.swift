import Glibc
import IPAMAPI
import JSONText
package import KubernetesCore

/// The node's own memory of what its attachments hold: one folder, one file an attachment.
///
/// - Flow: an ADD writes the names it is about to create, creates them, writes down their versions and returns them. A
///   DEL leaves a tombstone, releases what the entry names, and removes the entry.
/// - Guarantees: every file is replaced as a whole. While ``isWhole()`` holds, an attachment without an entry holds
///   nothing, so that a DEL of it needs no request.
/// - Assumptions: one journal belongs to one node name and one machine ID; all writers are on this machine.
/// - Caveats: entries are not forced to the disk, for that would cost every ADD a disk's latency. A power failure may
///   lose or tear some, and therefore the journal of an earlier boot never counts as whole. Only what a DEL could not
///   carry out, and said success for, is forced.
/// - Errors: ``JournalError`` names the file and the system's reason.
package struct Journal: Sendable {
    /// How long a tombstone is kept. No ADD lives that long.
    static let tombstoneLifetimeSeconds = 3600
    static let sweepIntervalSeconds = 300
    /// How long what LISTs of pools told is kept while nobody writes it anew: longer than it is of use. Of pools and blocks
    /// that come and go nothing may stay for good.
    static let scanLifetimeSeconds = 86_400
    /// How long a failure to reach the API server makes DELs impatient.
    static let unreachableMemory: Duration = .seconds(30)

    package let folder: String
    package let bootID: String
    /// The node and machine that the journal must have been written for.
    let owner: JSON
    let now: @Sendable () -> Moment

    package init(
        folder: String, bootID: String, node: String, machineID: String, now: @escaping @Sendable () -> Moment
    ) {
        self.folder = folder
        self.bootID = bootID
        self.owner = [
            "format": .int(JournalEntry.format), "bootID": .string(bootID), "node": .string(node),
            "machineID": .string(machineID),
        ]
        self.now = now
    }

    private static let probePrefix = "probe."

    private enum Folder: String, CaseIterable { case entries, tombstones, releasing, pools }

    private func path(_ name: String) -> String { "\(folder)/\(name)" }
    private func path(_ folder: Folder, _ name: String) -> String { "\(self.folder)/\(folder.rawValue)/\(name)" }

    // MARK: The journal as a whole

    /// Whether every attachment of this node that may hold something has an entry.
    package func isWhole() throws(JournalError) -> Bool {
        guard let bytes = try JournalFiles.read(path("generation")), let json = try? JSON(parsing: bytes) else {
            return false
        }
        return json == owner
    }

    /// The boot in which the journal was whole last, where that is an earlier one of this node and machine.
    func earlierBoot() throws(JournalError) -> String? {
        guard let bytes = try JournalFiles.read(path("generation")), let json = try? JSON(parsing: bytes),
            let boot = json["bootID"]?.string, boot != bootID
        else { return nil }
        var expected = owner
        expected["bootID"] = .string(boot)
        return json == expected ? boot : nil
    }

    /// Declares the journal whole.
    func markWhole() throws(JournalError) {
        try JournalFiles.write(owner.serialized(), to: path("generation"), durably: true)
    }

    /// Declares that the journal lacks something, so that whoever comes next rebuilds it.
    func markTorn() throws(JournalError) { try JournalFiles.remove(path("generation")) }

    /// Makes the folders, where they are missing, and proves that an entry's worth can be written.
    package func prepare() throws(JournalError) {
        for sub in Folder.allCases { try JournalFiles.makeFolder(path(sub.rawValue)) }
        let probe = path("\(Self.probePrefix)\(getpid()).\(pthread_self())")
        try JournalFiles.write([UInt8](repeating: 0, count: 1024), to: probe, durably: false)
        try JournalFiles.remove(probe)
    }

    /// Runs `body` under a lock; nil when that is still held elsewhere at `deadline`.
    package func withLock<Value>(
        _ scope: JournalLock.Scope, until deadline: Moment, _ body: () throws(LedgerError) -> Value
    ) throws(LedgerError) -> Value? {
        let lock = try journaled { () throws(JournalError) in
            try JournalLock.take(path: path("locks"), scope: scope, deadline: deadline, now: now)
        }
        guard let lock else { return nil }
        let result = Result { () throws(LedgerError) in try body() }
        lock.drop()
        return try result.get()
    }

    // MARK: Entries

    package enum Lookup: Sendable {
        case absent
        case entry(JournalEntry)
        /// The file is there and cannot be understood.
        case torn(String)
    }

    package func entry(for digest: String) throws(JournalError) -> Lookup {
        guard let bytes = try JournalFiles.read(path(.entries, digest)) else { return .absent }
        do {
            var entry = try JournalEntry(content: bytes)
            if entry.bootID != bootID { entry.outliveBoot() }
            guard entry.attachment.digest == digest else { return .torn("it describes another attachment") }
            return .entry(entry)
        } catch {
            return .torn("\(error)")
        }
    }

    package func write(_ entry: JournalEntry, durably: Bool = false) throws(JournalError) {
        try JournalFiles.write(
            entry.content, to: path(.entries, entry.attachment.digest), durably: durably)
    }

    package func removeEntry(for digest: String) throws(JournalError) {
        try JournalFiles.remove(path(.entries, digest))
    }

    /// The digests of all attachments that have an entry.
    package func digests() -> [String] { JournalFiles.names(in: path(Folder.entries.rawValue)) }

    // MARK: Tombstones

    /// Writes down that a DEL of the attachment was made now.
    func bury(_ digest: String) throws(JournalError) {
        let tombstone: JSON = ["bootID": .string(bootID), "at": .int(now().nanoseconds)]
        try JournalFiles.write(tombstone.serialized(), to: path(.tombstones, digest), durably: false)
    }

    /// When the last DEL of the attachment in this boot was made; nil when none is known.
    func deletedAt(_ digest: String) throws(JournalError) -> Moment? {
        guard let bytes = try JournalFiles.read(path(.tombstones, digest)), let json = try? JSON(parsing: bytes),
            json["bootID"]?.string == bootID, let at = json["at"]?.int
        else { return nil }
        return Moment(nanoseconds: Int64(at))
    }

    /// Whether a DEL of the attachment was made at or after a moment of this boot.
    func wasDeleted(_ digest: String, since moment: Moment) throws(JournalError) -> Bool {
        try deletedAt(digest).map { $0 >= moment } ?? false
    }

    /// Removes what has outlived its use – tombstones, what LISTs told, and what killed writers left – at most once in a
    /// while.
    ///
    /// A tombstone of this boot has its age on the clock that ADDs go by: a clock that is set forward must not take it from
    /// an ADD that is under way.
    func sweep() throws(JournalError) {
        let marker = path("swept")
        let wallClock = time(nil)
        var status = stat()
        if stat(marker, &status) == 0, (0..<Self.sweepIntervalSeconds).contains(wallClock - status.st_mtim.tv_sec) {
            return
        }
        try JournalFiles.write([], to: marker, durably: false)
        let oldest = now() - .seconds(Self.tombstoneLifetimeSeconds)
        let tombstones = JournalFiles.names(in: path(Folder.tombstones.rawValue)).filter { digest in
            (try? deletedAt(digest)).flatMap(\.self).map { $0 < oldest } ?? true
        }
        let unfinished = Folder.allCases.map(\.rawValue).flatMap { sub in
            JournalFiles.unfinished(in: path(sub)).map { path("\(sub)/\($0)") }
        }
        let probes = JournalFiles.names(in: folder).filter { $0.hasPrefix(Self.probePrefix) }
        let loose = (JournalFiles.unfinished(in: folder) + probes).map(path)
        let scans = JournalFiles.names(in: path(Folder.pools.rawValue)).map { path(.pools, $0) }
        let stale =
            (tombstones.map { path(.tombstones, $0) } + unfinished + loose).map { ($0, Self.tombstoneLifetimeSeconds) }
            + scans.map { ($0, Self.scanLifetimeSeconds) }
        for (file, lifetime) in stale {
            guard stat(file, &status) == 0 else { continue }
            if wallClock - status.st_mtim.tv_sec > lifetime { try JournalFiles.remove(file) }
        }
    }

    // MARK: Releases that are still to be made

    /// Puts the attachment on the list of those that a later DEL or the node agent looks at again.
    func markReleasing(_ digest: String) throws(JournalError) {
        try JournalFiles.write([], to: path(.releasing, digest), durably: true)
    }

    func unmarkReleasing(_ digest: String) throws(JournalError) {
        try JournalFiles.remove(path(.releasing, digest))
    }

    package func isReleasing(_ digest: String) -> Bool { access(path(.releasing, digest), F_OK) == 0 }

    /// The digests of attachments with something left to release.
    package func releasing() -> [String] { JournalFiles.names(in: path(Folder.releasing.rawValue)) }

    // MARK: The API server's health, as seen from this node

    /// Remembers that the API server did not answer, or (with false) that it did.
    ///
    /// A note that is there stays as it is: were it renewed by a DEL whose patience it had cut short, a server that is
    /// slow but alive would look unreachable for as long as there are DELs.
    func noteUnreachable(_ isUnreachable: Bool) {
        // A hint that only shortens waiting: failing to write it is not worth an error.
        if isUnreachable {
            if wasUnreachableRecently() { return }
            let note: JSON = ["bootID": .string(bootID), "at": .int(now().nanoseconds)]
            try? JournalFiles.write(note.serialized(), to: path("unreachable"), durably: false)
        } else {
            try? JournalFiles.remove(path("unreachable"))
        }
    }

    func wasUnreachableRecently() -> Bool {
        guard let bytes = try? JournalFiles.read(path("unreachable")), let json = try? JSON(parsing: bytes),
            json["bootID"]?.string == bootID, let at = json["at"]?.int
        else { return false }
        return now() - Moment(nanoseconds: Int64(at)) < Self.unreachableMemory
    }

    // MARK: What LISTs of pools told

    func scanRecord(pool uid: String) -> JSON? {
        guard let bytes = try? JournalFiles.read(path(.pools, uid)), let json = try? JSON(parsing: bytes),
            json["bootID"]?.string == bootID
        else { return nil }
        return json
    }

    func writeScanRecord(_ json: JSON, pool uid: String) {
        // Lost, it costs another LIST.
        var json = json
        json["bootID"] = .string(bootID)
        try? JournalFiles.write(json.serialized(), to: path(.pools, uid), durably: false)
    }
}
