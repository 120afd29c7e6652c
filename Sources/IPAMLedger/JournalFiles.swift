import Glibc

/// A file of the journal that cannot be used.
package struct JournalError: Error, Equatable, Sendable, CustomStringConvertible {
    package let path: String
    /// What was tried and what came of it.
    package let problem: String
    /// The system's reason; 0 where the file's content is at fault.
    package let errorNumber: Int32

    init(path: String, problem: String) {
        self.path = path
        self.problem = problem
        errorNumber = 0
    }

    init(operation: String, path: String, errorNumber: Int32) {
        self.path = path
        self.problem = "cannot \(operation): \(String(cString: strerror(errorNumber)))"
        self.errorNumber = errorNumber
    }

    var isMissing: Bool { errorNumber == ENOENT }

    /// Whether the file could be read and does not hold what it must.
    package var isDamage: Bool { errorNumber == 0 }

    package var description: String { "journal file \(path): \(problem)" }
}

/// An open file that closes itself.
struct OpenFile: ~Copyable {
    let descriptor: Int32

    init(_ path: String, _ flags: Int32, mode: mode_t = 0o600, operation: String) throws(JournalError) {
        descriptor = open(path, flags | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw JournalError(operation: operation, path: path, errorNumber: errno) }
    }

    deinit {
        // Also runs where the initializer threw.
        if descriptor >= 0 { close(descriptor) }
    }
}

/// Whole-file operations, each of which leaves the old content or the new one, never a part.
enum JournalFiles {
    /// The number of the thread keeps two writers of one process from sharing a temporary name.
    static func write(_ bytes: [UInt8], to path: String, durably: Bool) throws(JournalError) {
        let temporary = "\(path).\(getpid()).\(pthread_self())~"
        do throws(JournalError) {
            try fill(temporary, bytes, durably: durably)
            guard rename(temporary, path) == 0 else {
                throw JournalError(operation: "write", path: path, errorNumber: errno)
            }
        } catch {
            unlink(temporary)
            throw error
        }
        if durably { try syncFolder(of: path) }
    }

    private static func fill(_ path: String, _ bytes: [UInt8], durably: Bool) throws(JournalError) {
        let file = try OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC, operation: "create")
        var offset = 0
        while offset < bytes.count {
            let written = bytes.withUnsafeBytes { buffer in
                Glibc.write(file.descriptor, buffer.baseAddress.map { $0 + offset }, bytes.count - offset)
            }
            if written < 0 {
                if errno == EINTR { continue }
                throw JournalError(operation: "write", path: path, errorNumber: errno)
            }
            offset += written
        }
        if durably, fsync(file.descriptor) != 0 {
            throw JournalError(operation: "sync", path: path, errorNumber: errno)
        }
    }

    private static func syncFolder(of path: String) throws(JournalError) {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let file = try OpenFile(folder, O_RDONLY | O_DIRECTORY, operation: "open")
        guard fsync(file.descriptor) == 0 else {
            throw JournalError(operation: "sync", path: folder, errorNumber: errno)
        }
    }

    /// The file's content, or nil when there is no such file.
    static func read(_ path: String) throws(JournalError) -> [UInt8]? {
        let file: OpenFile
        do throws(JournalError) {
            file = try OpenFile(path, O_RDONLY, operation: "read")
        } catch {
            if error.isMissing { return nil }
            throw error
        }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(file.descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw JournalError(operation: "read", path: path, errorNumber: errno)
            }
            if count == 0 { return content }
            content.append(contentsOf: chunk[..<count])
        }
    }

    static func remove(_ path: String) throws(JournalError) {
        guard unlink(path) == 0 || errno == ENOENT else {
            throw JournalError(operation: "remove", path: path, errorNumber: errno)
        }
    }

    /// Names in a folder without the temporary ones; empty when there is no such folder.
    static func names(in folder: String) -> [String] { allNames(in: folder).filter { !$0.hasSuffix("~") } }

    /// The temporary names in a folder: of files that are being written, or whose writer was killed.
    static func unfinished(in folder: String) -> [String] { allNames(in: folder).filter { $0.hasSuffix("~") } }

    private static func allNames(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let item = readdir(stream) {
            let name = withUnsafePointer(to: &item.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    static func makeFolder(_ path: String) throws(JournalError) {
        var missing: [String] = []
        var current = path
        while mkdir(current, 0o700) != 0 {
            if errno == EEXIST { break }
            guard errno == ENOENT, let slash = current.lastIndex(of: "/"), slash != current.startIndex else {
                throw JournalError(operation: "create folder", path: current, errorNumber: errno)
            }
            missing.append(current)
            current = String(current[..<slash])
        }
        for folder in missing.reversed() where mkdir(folder, 0o700) != 0 && errno != EEXIST {
            throw JournalError(operation: "create folder", path: folder, errorNumber: errno)
        }
    }
}

/// The hash of Fowler, Noll and Vo, 64 bits wide: any change of one byte changes it. Nothing here needs a better one.
enum FNV1a {
    static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
