import Glibc

/// A file or folder of the host that cannot be used.
package struct HostFileError: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    /// What was tried and what came of it.
    package let problem: String
    /// The system's reason; 0 where there is none.
    package let errorNumber: Int32

    package init(_ path: String, _ problem: String) {
        self.path = path
        self.problem = problem
        errorNumber = 0
    }

    init(_ path: String, cannot operation: String, errorNumber: Int32 = errno) {
        self.path = path
        problem = "cannot \(operation): \(Self.text(errorNumber))"
        self.errorNumber = errorNumber
    }

    /// For messages: `…: Read-only file system`.
    package var description: String { "\(path): \(problem)" }

    static func text(_ errorNumber: Int32) -> String { String(cString: strerror(errorNumber)) }
}

/// What tells one state of a file from another without reading it.
struct FileStamp: Hashable {
    private let device: UInt64
    private let inode: UInt64
    private let size: Int
    private let modified: timespec
    private let changed: timespec
    let mode: UInt32
    let isRegular: Bool

    /// Nil when there is no such file. Links are followed.
    init?(_ path: String) throws(HostFileError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT { return nil }
            throw HostFileError(path, cannot: "examine it")
        }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int(status.st_size)
        modified = status.st_mtim
        changed = status.st_ctim
        mode = UInt32(status.st_mode & 0o7777)
        isRegular = status.st_mode & S_IFMT == S_IFREG
    }

    static func == (a: FileStamp, b: FileStamp) -> Bool {
        a.device == b.device && a.inode == b.inode && a.size == b.size && a.mode == b.mode
            && a.modified.tv_sec == b.modified.tv_sec && a.modified.tv_nsec == b.modified.tv_nsec
            && a.changed.tv_sec == b.changed.tv_sec && a.changed.tv_nsec == b.changed.tv_nsec
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(inode)
        hasher.combine(size)
    }
}

/// Whole-file operations on the host: a reader finds the old content or the new one, never a part.
enum HostFile {
    /// Larger than any executable of Berth.
    static let maximumSize = 256 << 20

    /// The content; nil when there is no such file.
    ///
    /// - Parameter limit: In bytes. A larger file is refused.
    static func read(_ path: String, limit: Int = maximumSize) throws(HostFileError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw HostFileError(path, cannot: "read it")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw HostFileError(path, cannot: "examine it") }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw HostFileError(path, "is a folder") }
        var content: [UInt8] = []
        content.reserveCapacity(min(Int(status.st_size), limit) + 1)
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw HostFileError(path, cannot: "read it")
            }
            if count == 0 { return content }
            content.append(contentsOf: chunk[..<count])
            guard content.count <= limit else { throw HostFileError(path, "is larger than \(limit) bytes") }
        }
    }

    /// Puts a file in its place: written beside it under a temporary name, forced to the disk, renamed.
    ///
    /// - Parameter durably: Without it, it need not survive a power failure, and is not forced to the disk.
    static func write(
        _ content: [UInt8], to path: String, mode: UInt32, durably: Bool = true
    ) throws(HostFileError) {
        let temporary = "\(path)\(temporaryMark)\(getpid())"
        do throws(HostFileError) {
            try fill(temporary, content, mode: mode, durably: durably)
            guard rename(temporary, path) == 0 else { throw HostFileError(path, cannot: "replace it") }
        } catch {
            unlink(temporary)
            throw error
        }
        if durably { syncFolder(of: path) }
    }

    private static func fill(
        _ path: String, _ content: [UInt8], mode: UInt32, durably: Bool
    ) throws(HostFileError) {
        unlink(path)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw HostFileError(path, cannot: "create it") }
        defer { close(descriptor) }
        var offset = 0
        while offset < content.count {
            let written = content.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + offset }, content.count - offset)
            }
            if written < 0 {
                if errno == EINTR { continue }
                throw HostFileError(path, cannot: "write it")
            }
            offset += written
        }
        // Whatever the umask is.
        guard fchmod(descriptor, mode) == 0 else { throw HostFileError(path, cannot: "set its mode") }
        guard !durably || fsync(descriptor) == 0 else { throw HostFileError(path, cannot: "force it to the disk") }
    }

    /// A rename that is lost in a power failure is made again.
    private static func syncFolder(of path: String) {
        let descriptor = open(folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    // MARK: Folders

    /// Makes a folder and those above it, where they are missing.
    static func makeFolder(_ path: String, mode: mode_t) throws(HostFileError) {
        if mkdir(path, mode) == 0 { return }
        switch errno {
        case EEXIST:
            guard isFolder(path) else { throw HostFileError(path, "is no folder") }
        case ENOENT where path.contains("/") && folder(of: path) != path:
            try makeFolder(folder(of: path), mode: 0o755)
            guard mkdir(path, mode) == 0 || errno == EEXIST else {
                throw HostFileError(path, cannot: "make the folder")
            }
        default: throw HostFileError(path, cannot: "make the folder")
        }
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    // MARK: What killed writers left

    private static let temporaryMark = ".berth-node~"

    /// Removes what writers of a file left that were killed: temporary files of processes that are no more.
    ///
    /// Those of this very number are this process's own, which writes one file at a time, or of an earlier one.
    static func sweep(_ path: String) {
        let folder = folder(of: path)
        let prefix =
            path[path.index(path.startIndex, offsetBy: folder == "/" ? 1 : folder.count + 1)...] + temporaryMark
        for name in names(in: folder) where name.hasPrefix(prefix) {
            guard let process = Int32(name.dropFirst(prefix.count)) else { continue }
            // Another agent that takes this one's place may be writing. Without the host's processes in sight its number
            // says nothing, and it writes anew after a failure.
            if process == getpid() || kill(process, 0) != 0 && errno == ESRCH { unlink("\(folder)/\(name)") }
        }
    }

    static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let item = readdir(stream) {
            let name = withUnsafePointer(to: &item.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
