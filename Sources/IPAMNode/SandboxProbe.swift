import CHost
import Glibc
package import IPAMLedger

/// What is known of the network namespace that an ADD recorded.
package enum NamespaceFact: Hashable, Sendable {
    /// None was recorded.
    case notRecorded
    /// It is there, with the recorded inode.
    case there
    /// There is nothing at its path.
    case gone
    /// There is another one, or something else, at its path.
    case other
    /// It is not at its path, and may be there all the same (``NamespaceCensus``).
    case obscured
    /// It cannot be examined.
    case unknown(String)
}

/// What is known of the processes of a container.
package enum ProcessFact: Hashable, Sendable {
    /// No process of the host names it in the path of its control groups.
    case none
    case some
    case unknown(String)
}

extension [String: ProcessFact] {
    /// What is known of the processes that have any of some marks.
    func fact(_ marks: Set<String>) -> ProcessFact {
        var fact = ProcessFact.none
        for mark in marks {
            switch self[mark] {
            case .some(.some): return .some
            case .some(.none): break
            case .some(.unknown(let problem)): fact = .unknown(problem)
            case nil: fact = .unknown("not looked for")
            }
        }
        return fact
    }
}

/// Looks at sandboxes from the host's point of view.
///
/// - Flow: a path is looked up below `<proc>/1/root`, the root of the host's first process, link by link, so that no link
///   leads out of the host into the agent's own container.
/// - Guarantees: what cannot be examined is unknown, never gone.
/// - Caveats: a namespace that a runtime mounts where the host's first process does not see it looks gone, or like the
///   ordinary file under the mount. That is why nobody decides by this alone: ``NamespaceCensus`` says what speaks
///   against it, a process that names the container does, and an ADD that has begun a moment ago.
package struct SandboxProbe: Sendable {
    private let proc: String
    private let journalFolder: String

    package init(proc: String, journalFolder: String) {
        self.proc = proc
        self.journalFolder = journalFolder
    }

    private var root: String { "\(proc)/1/root" }

    /// Nil where the host's sandboxes can be seen; otherwise why not.
    ///
    /// The folder of the journal is the same in the agent's container and on the host. What must be told apart is the
    /// agent's own container, which without the host's processes is the first process's too.
    package func problem() -> String? {
        var own = stat()
        guard stat(journalFolder, &own) == 0 else { return "\(journalFolder): \(HostFileError.text(errno))" }
        switch resolve(journalFolder) {
        case .found(let inode, let device):
            guard inode == UInt64(own.st_ino), device == UInt64(own.st_dev) else {
                return "\(root)\(journalFolder) is another folder than \(journalFolder); is hostPID set?"
            }
        case .missing: return "\(root)\(journalFolder) does not exist; is hostPID set?"
        case .namespace, .unknown: return "\(root)\(journalFolder) cannot be examined; are hostPID and SYS_PTRACE set?"
        }
        if getpid() == 1, proc == "/proc" { return "the agent is the first process itself; is hostPID set?" }
        return nil
    }

    // MARK: Network namespaces

    package func examine(_ namespace: SandboxNamespace?) -> NamespaceFact {
        guard let namespace else { return .notRecorded }
        switch resolve(namespace.path) {
        case .found(let inode, _), .namespace(let inode): return inode == namespace.inode ? .there : .other
        case .missing: return .gone
        case .unknown(let problem): return .unknown(problem)
        }
    }

    private enum Resolution {
        case found(inode: UInt64, device: UInt64)
        /// A link of a process to its namespace.
        case namespace(inode: UInt64)
        case missing
        case unknown(String)
    }

    private static let maximumLinks = 40

    private func resolve(_ path: String) -> Resolution {
        guard path.hasPrefix("/") else { return .unknown("\(path) is no absolute path") }
        // Where nothing can be looked up at all, nothing is proven to be missing.
        guard access("\(root)/", F_OK) == 0 else { return .unknown("\(root): \(HostFileError.text(errno))") }
        var rest = path.split(separator: "/").map(String.init)[...]
        var resolved: [String] = []
        var links = 0
        var status = stat()
        while let name = rest.popFirst() {
            if name == "." { continue }
            if name == ".." {
                _ = resolved.popLast()
                continue
            }
            let folder = "\(root)/\(resolved.joined(separator: "/"))"
            let current = resolved.isEmpty ? "\(root)/\(name)" : "\(folder)/\(name)"
            guard lstat(current, &status) == 0 else {
                return errno == ENOENT || errno == ENOTDIR
                    ? .missing : .unknown("\(current): \(HostFileError.text(errno))")
            }
            guard status.st_mode & S_IFMT == S_IFLNK else {
                resolved.append(name)
                continue
            }
            guard let target = Self.link(current) else { return .unknown("\(current): \(HostFileError.text(errno))") }
            if chost_is_proc(folder) != 0 {
                // The links of a process lead where no path leads, but the text of those to namespaces says which.
                if rest.isEmpty, let inode = Self.namespace(target) { return .namespace(inode: inode) }
                return .unknown("\(current) leads out of the tree of files")
            }
            links += 1
            guard links <= Self.maximumLinks else { return .unknown("\(path): too many links") }
            if target.hasPrefix("/") { resolved = [] }
            rest = (target.split(separator: "/").map(String.init) + rest)[...]
        }
        guard lstat("\(root)/\(resolved.joined(separator: "/"))", &status) == 0 else {
            return errno == ENOENT ? .missing : .unknown("\(path): \(HostFileError.text(errno))")
        }
        return .found(inode: UInt64(status.st_ino), device: UInt64(status.st_dev))
    }

    private static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        guard count > 0, count < buffer.count else { return nil }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The inode of `net:[4026531840]`.
    private static func namespace(_ text: String) -> UInt64? {
        guard text.hasPrefix("net:["), text.hasSuffix("]") else { return nil }
        return UInt64(text.dropFirst(5).dropLast())
    }

    // MARK: Processes

    private var processes: [String] {
        HostFile.names(in: proc).filter { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    }

    /// The network namespaces of all processes.
    package func inhabitedNamespaces() -> InhabitedNamespaces {
        var inodes: Set<UInt64> = []
        for process in processes {
            let path = "\(proc)/\(process)/ns/net"
            if let inode = Self.link(path).flatMap(Self.namespace) {
                inodes.insert(inode)
            } else if errno != ENOENT, errno != ESRCH {
                return .unknown("\(path): \(HostFileError.text(errno))")
            }
        }
        // The agent itself is in one.
        return inodes.isEmpty ? .unknown("\(proc): no processes") : .inodes(inodes)
    }

    /// Looks through all processes once, for many marks: IDs of containers, UIDs of pods.
    package func processes(named ids: Set<String>) -> [String: ProcessFact] {
        var facts = Dictionary(uniqueKeysWithValues: ids.map { ($0, ProcessFact.none) })
        guard !ids.isEmpty else { return facts }
        let processes = processes
        let marks = ids.map { ($0, Array($0.utf8)) }
        guard !processes.isEmpty else { return facts.mapValues { _ in .unknown("\(proc): no processes") } }
        for process in processes {
            let text: [UInt8]
            do throws(HostFileError) {
                guard let bytes = try HostFile.read("\(proc)/\(process)/cgroup") else { continue }
                text = bytes
            } catch {
                // It has ended while it was looked at.
                if error.errorNumber == ESRCH { continue }
                for (id, fact) in facts where fact == .none { facts[id] = .unknown("\(error)") }
                continue
            }
            for (id, bytes) in marks where facts[id] != ProcessFact.some && PluginFile.contains(bytes, in: text) {
                facts[id] = ProcessFact.some
            }
        }
        return facts
    }
}
