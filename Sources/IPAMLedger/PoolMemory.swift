import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
import KubernetesCore

/// What this node remembers of all pools, so that an ADD need not read all of them to find the few that may serve.
///
/// - Guarantees: it is used only where the server has just said that these, and no others, are the pools that there are,
///   each of the generation that is remembered: ``agrees(with:)``. And what is given of a pool follows from a read of the
///   pool itself.
/// - Caveats: what the server says comes from its cache, like a LIST of the pools themselves.
struct PoolMemory {
    /// By name.
    let outlines: [String: PoolOutline]

    init?(_ record: JSON) {
        var outlines: [String: PoolOutline] = [:]
        for json in record["pools"]?.array ?? [] {
            guard let outline = try? PoolOutline(json) else { return nil }
            outlines[outline.name] = outline
        }
        guard !outlines.isEmpty else { return nil }
        self.outlines = outlines
    }

    /// Fewer pools are read whole as fast. Pools that make no sense are not remembered, and then nothing is.
    static let minimumCount = 16

    /// Nil where it is not worth while.
    static func record(of pools: [JSON]) -> JSON? {
        guard pools.count >= minimumCount else { return nil }
        let reduced = pools.map(PoolOutline.reduced)
        return reduced.allSatisfy { (try? PoolOutline($0)) != nil } ? ["pools": .array(reduced)] : nil
    }

    /// A LIST of the pools that tells no more than which there are, and of which generation.
    static let verification = APIRequest.list(.ipPools, options: ListOptions(resourceVersion: "0", form: .table))

    /// Whether the answer to ``verification`` has that in it. The definition of the kind may be an older one.
    static func isTelling(_ table: JSON) -> Bool { columns(of: table) != nil }

    /// Whether the pools are those that are remembered.
    func agrees(with table: JSON) -> Bool {
        guard let columns = Self.columns(of: table), let rows = table["rows"]?.array, rows.count == outlines.count
        else { return false }
        return rows.allSatisfy { row in
            guard let cells = row["cells"]?.array, let name = cells[safe: columns.name]?.string,
                let outline = outlines[name]
            else { return false }
            return cells[safe: columns.uid]?.string == outline.uid
                && cells[safe: columns.generation]?.int == outline.generation
        }
    }

    private static func columns(of table: JSON) -> (name: Int, uid: Int, generation: Int)? {
        guard table["kind"]?.string == "Table" else { return nil }
        let names = (table["columnDefinitions"]?.array ?? []).map { $0["name"]?.string }
        guard let name = names.firstIndex(of: "Name"), let uid = names.firstIndex(of: "UID"),
            let generation = names.firstIndex(of: "Generation")
        else { return nil }
        return (name, uid, generation)
    }
}

/// Asks the server, beside the creates of an ADD, whether the memory that its pools were chosen by is right.
///
/// The server answers while it writes, so that it costs no time. Where the memory is not right, what was created is taken back
/// like that of any ADD that fails, and all pools are read.
struct PoolVerification {
    private let memory: PoolMemory
    private var inquiry = Inquiry(PoolMemory.verification)
    private var pausedUntil: Moment?
    private var hasBegun = false
    /// Why what was created cannot be returned.
    private(set) var failure: LedgerError?
    /// The server cannot tell.
    private(set) var isUntelling = false

    init(_ memory: PoolMemory) { self.memory = memory }

    /// - Parameter isAccompanied: Something is sent beside it, without which it does not begin.
    mutating func next(now: Moment, remaining: Duration, isAccompanied: Bool) -> ClaimSlot.Step {
        guard hasBegun || isAccompanied else { return .finished }
        hasBegun = true
        return ClaimSlot.Step(&inquiry, &pausedUntil, now: now, remaining: remaining)
    }

    /// A failure that may pass makes it ask again.
    mutating func receive(_ answer: Result<JSON, APIError>, wasSentTwice: Bool) {
        inquiry.receive(answer, wasSentTwice: wasSentTwice)
        switch inquiry.result {
        case .success(let table):
            isUntelling = !PoolMemory.isTelling(table)
            if !memory.agrees(with: table) { failure = .poolsChanged }
        case .failure(let error): failure = error
        case nil: break
        }
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

extension Ledger {
    private static var outlinesKey: String { "outlines" }
    private static var recentKey: String { "recent" }
    /// How long a server that does not tell generations is not asked for them again.
    private static var untellingMemory: Duration { .seconds(600) }
    /// The most pools that are read because they served this node before.
    private static var maximumLikely: Int { 3 }
    private static var maximumRecent: Int { 16 }

    /// Nil where there is none.
    var poolMemory: PoolMemory? { journal.scanRecord(pool: Self.outlinesKey).flatMap { PoolMemory($0) } }

    /// Remembers what a LIST of all pools told.
    func remember(_ pools: [JSON]) {
        let known = journal.scanRecord(pool: Self.outlinesKey)
        if let at = known?["untellingAt"]?.int,
            transport.now() - Moment(nanoseconds: Int64(at)) < Self.untellingMemory
        {
            return
        }
        let record = PoolMemory.record(of: pools) ?? [:]
        if record["pools"] != nil || known?["pools"] != nil {
            journal.writeScanRecord(record, pool: Self.outlinesKey)
        }
    }

    /// What is remembered cannot be verified here, so it is forgotten for a while.
    func rememberUntelling() {
        journal.writeScanRecord(["untellingAt": .int(transport.now().nanoseconds)], pool: Self.outlinesKey)
    }

    /// The remembered pools that served this node last and may serve now, as far as that is known before the pod is.
    func likely(_ memory: PoolMemory, _ order: ClaimOrder, _ facts: SelectionFacts) -> [String] {
        var facts = facts
        facts.isRehearsal = true
        let isNamed: (PoolOutline) -> Bool
        switch order.demand {
        case .named(let patterns): isNamed = { outline in patterns.contains { $0.matches(outline.name) } }
        case .defaults: isNamed = \.selectors.isDefault
        case .inline: return []
        }
        let recent = recentPools.filter { name in
            guard let outline = memory.outlines[name], isNamed(outline) else { return false }
            if !outline.selectors.nodeSubnets.isEmpty, facts.nodeAddresses.isEmpty {
                facts.nodeAddresses = nodeAddresses()
            }
            return outline.selectors.mismatch(facts) == nil
        }
        return Array(recent.prefix(Self.maximumLikely))
    }

    private var recentPools: [String] {
        (journal.scanRecord(pool: Self.recentKey)?["pools"]?.array ?? []).compactMap(\.string)
    }

    /// Remembers whom the plans ask first.
    func rememberRecent(_ plans: [SlotPlan]) {
        let first = plans.compactMap { $0.pools.first?.name }
        let recent = recentPools
        guard !first.allSatisfy(recent.prefix(Self.maximumLikely).contains) else { return }
        let names = (first + recent.filter { !first.contains($0) }).prefix(Self.maximumRecent)
        journal.writeScanRecord(["pools": .strings(Array(names))], pool: Self.recentKey)
    }
}
