import CNIProtocol
import Glibc
import IPAMLedger
import JSONText
import KubernetesClient

@testable import Berth

/// A network configuration as it arrives for an ADD.
func network(_ ipam: JSON, _ members: JSON = [:]) throws -> NetworkConfiguration {
    var json: JSON = ["cniVersion": "1.0.0", "name": "net", "ipam": ipam]
    for member in members.object?.members ?? [] { json[member.name] = member.value }
    return try NetworkConfiguration(try JSONFields(json), for: .add)
}

/// The error of an operation that must fail with a CNIError.
func failure<Value>(_ operation: () throws(CNIError) -> Value) -> CNIError? {
    do throws(CNIError) {
        _ = try operation()
        return nil
    } catch {
        return error
    }
}

/// A folder that is gone when the closure ends.
func withFolder<Value>(_ body: (String) throws -> Value) throws -> Value {
    var template = Array("/tmp/berth-unit.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw FolderError() }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
        for name in JournalFolder.names(in: path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }
    return try body(path)
}

struct FolderError: Error {}

private enum JournalFolder {
    static func names(in path: String) -> [String] {
        guard let stream = opendir(path) else { return [] }
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

func read(_ path: String) throws -> String { String(decoding: try FileContents.read(path), as: UTF8.self) }

func write(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw FolderError() }
    defer { close(descriptor) }
    guard Process.write(Array(text.utf8), to: descriptor) else { throw FolderError() }
}
