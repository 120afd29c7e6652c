internal import Glibc

/// What tests do with files, without Foundation.
package enum Files {
    package static func read(_ path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("open \(path)") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read \(path)") }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    package static func text(_ path: String) throws -> String { String(decoding: try read(path), as: UTF8.self) }

    /// Replaces the file as a whole, by a rename.
    package static func write(_ path: String, _ text: String, mode: UInt32 = 0o600) throws {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw SystemError("create \(temporary)") }
        defer { close(descriptor) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write \(temporary)") }
            bytes = bytes.dropFirst(count)
        }
        guard rename(temporary, path) == 0 else { throw SystemError("rename \(temporary)") }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
    package static func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 && !isFolder(path) }

    package static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    package static func makeFolder(_ path: String, mode: UInt32 = 0o700) throws {
        guard mkdir(path, mode) == 0 || (errno == EEXIST && isFolder(path)) else { throw SystemError("mkdir \(path)") }
    }

    /// The names in a folder, sorted, without `.` and `..`.
    package static func names(in folder: String) throws -> [String] {
        guard let stream = opendir(folder) else { throw SystemError("opendir \(folder)") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    package static func remove(_ path: String) throws {
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemError("unlink \(path)") }
    }

    /// Removes a folder with all that is in it; one that is not there is no error. Links are not followed.
    package static func removeTree(_ path: String) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw SystemError("lstat \(path)") }
            return
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return try remove(path) }
        for name in try names(in: path) { try removeTree("\(path)/\(name)") }
        guard rmdir(path) == 0 || errno == ENOENT else { throw SystemError("rmdir \(path)") }
    }

    /// A new, empty folder in TMPDIR (default /tmp) that only this user can read.
    package static func makeTemporaryFolder(_ name: String = "test") throws -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/berth-\(name)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp in \(parent)") }
        return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Lends a temporary folder and removes it afterwards.
    package static func withTemporaryFolder<Result>(
        _ name: String = "test", isolation: isolated (any Actor)? = #isolation,
        _ body: (String) async throws -> Result
    ) async throws -> Result {
        let folder = try makeTemporaryFolder(name)
        let result: Result
        do {
            result = try await body(folder)
        } catch {
            try? removeTree(folder)
            throw error
        }
        try removeTree(folder)
        return result
    }
}

/// The working tree that these tests were built from.
package enum Repository {
    package static let root: String = {
        // Tests/TestSupport/Files.swift
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        return parts.joined(separator: "/")
    }()
}

package enum Environment {
    package static func value(_ name: String) -> String? {
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return value
    }

    /// What this process was started with.
    package static var all: [String: String] {
        var all: [String: String] = [:]
        let bytes = (try? Files.read("/proc/self/environ")) ?? []
        for entry in bytes.split(separator: 0) {
            guard let equals = entry.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let value = entry[entry.index(after: equals)...]
            all[String(decoding: entry[..<equals], as: UTF8.self)] = String(decoding: value, as: UTF8.self)
        }
        return all
    }
}
