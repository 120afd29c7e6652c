package import IPAMLedger

/// The network namespaces that processes of the host are in.
package enum InhabitedNamespaces: Hashable, Sendable {
    case inodes(Set<UInt64>)
    /// They could not all be looked at.
    case unknown(String)
}

/// What is known of the node's network namespaces at one moment: those that ADDs recorded, held against each other and
/// against those that processes are in.
///
/// A path that leads nowhere does not prove that its namespace is gone. `/proc/<pid>/ns/net` ends with one process while
/// others may be in the namespace, and a runtime with a mount namespace of its own may hide what it mounts from the
/// host's first process.
package struct NamespaceCensus: Sendable {
    /// The inodes of namespaces that are at the paths that were recorded for them.
    private let visible: Set<UInt64>
    /// The folders in which such are seen, or were.
    package let folders: Set<String>
    private var inhabited: InhabitedNamespaces

    /// - Parameters:
    ///   - recorded: What ``SandboxProbe/examine(_:)`` says of each that an ADD of this boot recorded.
    ///   - folders: Those in which namespaces were seen before.
    ///   - inhabited: Is asked for only where one seems to be gone.
    package init(
        _ recorded: [(namespace: SandboxNamespace, fact: NamespaceFact)], folders: Set<String> = [],
        inhabited: () -> InhabitedNamespaces
    ) {
        let there = recorded.filter { $0.fact == .there }.map(\.namespace)
        visible = Set(there.map(\.inode))
        self.folders = folders.union(there.map { Self.folder(of: $0.path) })
        let isOneMissing = recorded.contains { $0.fact == .gone || $0.fact == .other }
        self.inhabited = isOneMissing ? inhabited() : .inodes([])
    }

    /// The same with another look at the processes.
    package func with(_ inhabited: InhabitedNamespaces) -> NamespaceCensus {
        var census = self
        census.inhabited = inhabited
        return census
    }

    /// What can be said of one that was examined: gone or another one only where nothing speaks against it.
    ///
    /// - Parameter wasSeen: Whether this agent has seen it at its path, and so sees what its runtime mounts. It also
    ///   does where it has seen another one in the same folder.
    package func fact(_ namespace: SandboxNamespace, _ examined: NamespaceFact, wasSeen: Bool) -> NamespaceFact {
        switch examined {
        case .notRecorded, .there, .obscured, .unknown: return examined
        case .gone, .other: break
        }
        switch inhabited {
        case .unknown(let problem): return .unknown(problem)
        // The inode of one that is gone can be given to another, which is then known by its own path.
        case .inodes(let inodes):
            if inodes.contains(namespace.inode), !visible.contains(namespace.inode) { return .obscured }
        }
        return wasSeen || folders.contains(Self.folder(of: namespace.path)) ? examined : .obscured
    }

    /// All processes share one: where the host's first process can be seen, they can.
    private static func folder(of path: String) -> String {
        if path.hasPrefix("/proc/") { return "/proc" }
        return path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }
}
