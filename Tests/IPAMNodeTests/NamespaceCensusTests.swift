import IPAMLedger
import IPAMNode
import Testing

@Suite("What is known of the namespaces of a node together")
struct NamespaceCensusTests {
    private static let own = SandboxNamespace(path: "/run/netns/a", inode: 11)

    /// The fact about ``own``, which is not at its path.
    private func fact(
        _ examined: NamespaceFact = .gone, beside others: [(SandboxNamespace, NamespaceFact)] = [],
        inhabited: InhabitedNamespaces = .inodes([1]), wasSeen: Bool = true
    ) -> NamespaceFact {
        let recorded = [(Self.own, examined)] + others
        let census = NamespaceCensus(recorded.map { (namespace: $0.0, fact: $0.1) }) { inhabited }
        return census.fact(Self.own, examined, wasSeen: wasSeen)
    }

    /// Of one that was never seen, and namespaces were in those folders.
    private func folderFact(_ folders: Set<String>, _ path: String) -> NamespaceFact {
        let namespace = SandboxNamespace(path: path, inode: 11)
        let census = NamespaceCensus([(namespace: namespace, fact: .gone)], folders: folders) { .inodes([1]) }
        return census.fact(namespace, .gone, wasSeen: false)
    }

    @Test(arguments: [NamespaceFact.gone, .other])
    func `one that was seen, and that no process is in, is gone`(examined: NamespaceFact) {
        #expect(fact(examined) == examined)
    }

    @Test(arguments: [NamespaceFact.gone, .other])
    func `one that a process is in is obscured, for a path can end before its namespace`(examined: NamespaceFact) {
        #expect(fact(examined, inhabited: .inodes([1, 11])) == .obscured)
    }

    @Test func `a process speaks for the namespace whose path it is, when an inode is used again`() {
        let next = SandboxNamespace(path: "/run/netns/b", inode: 11)
        #expect(fact(beside: [(next, .there)], inhabited: .inodes([1, 11])) == .gone)
    }

    @Test func `while the processes cannot be looked at, nothing is gone`() {
        #expect(fact(inhabited: .unknown("permission denied")) == .unknown("permission denied"))
    }

    @Test func `one that was never seen is obscured, unless another one in its folder is`() {
        #expect(fact(wasSeen: false) == .obscured)
        let elsewhere = SandboxNamespace(path: "/run/docker/netns/b", inode: 12)
        #expect(fact(beside: [(elsewhere, .there)], wasSeen: false) == .obscured)
        #expect(folderFact(["/run/netns"], "/run/netns/a") == .gone)
        #expect(folderFact(["/proc"], "/proc/77/ns/net") == .gone)
        #expect(folderFact(["/proc"], "/run/netns/a") == .obscured)
        let beside = SandboxNamespace(path: "/run/netns/b", inode: 12)
        #expect(fact(beside: [(beside, .gone)], wasSeen: false) == .obscured)
        #expect(fact(beside: [(beside, .there)], wasSeen: false) == .gone)
    }

    @Test(arguments: [NamespaceFact.there, .notRecorded, .obscured, .unknown("?")])
    func `whatever else was found stays`(examined: NamespaceFact) {
        #expect(fact(examined, inhabited: .unknown("not asked"), wasSeen: false) == examined)
    }

    @Test func `the processes are looked at only where one seems to be gone`() {
        let census = NamespaceCensus([(namespace: Self.own, fact: .there)]) {
            Issue.record("nobody needs to know")
            return .inodes([])
        }
        #expect(census.fact(Self.own, .there, wasSeen: false) == .there)
    }

    @Test func `another look at the processes counts`() {
        let census = NamespaceCensus([(namespace: Self.own, fact: .gone)]) { .inodes([1]) }
        #expect(census.with(.inodes([11])).fact(Self.own, .gone, wasSeen: true) == .obscured)
    }
}
