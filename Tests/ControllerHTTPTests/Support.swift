import CHost
import ControllerHTTP
import Glibc
import Testing

/// SplitMix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func text(_ maximum: Int = 12) -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...maximum, using: &self) {
            let limit: UInt32 = [0x60, 0x80, 0x3000, 0x11_0000].randomElement(using: &self) ?? 0x80
            text.append(Unicode.Scalar(UInt32.random(in: 0..<limit, using: &self)) ?? "\u{FFFD}")
        }
        return String(text)
    }
}

/// OpenSSL as the controller sets it up, with no table of names and no configuration file.
let isHostInitialised: Bool = {
    chost_initialise()
    return true
}()

/// 2027-01-15T08:00:00Z
let epoch: Int64 = 1_800_000_000
let day: Int64 = 86400
let serviceNames = ServingCertificate.names(service: "berth-webhook", namespace: "berth-system")

/// An authority and what it issued, as the Secret would hold them.
func makeSecret(
    names: [String] = serviceNames, at now: Int64 = epoch, seed: UInt64 = 1
) throws -> CertificateSecret {
    #expect(isHostInitialised)
    var generator = SeededGenerator(seed)
    let secret = try CertificatePlan.renewAll(.absent)
        .carriedOut(on: nil, names: names, now: now, using: &generator)
    return try #require(secret)
}

extension CertificatePlan {
    /// The plan carried out, with a generator of its own.
    func result(on secret: CertificateSecret?, names: [String] = serviceNames, at now: Int64) throws
        -> CertificateSecret?
    {
        var generator = SeededGenerator(UInt64(bitPattern: now))
        return try carriedOut(on: secret, names: names, now: now, using: &generator)
    }
}

/// A folder of its own, removed when the last reference goes.
final class Folder {
    let path: String
    private var names: Set<String> = []

    init() throws {
        let template = try #require(strdup("/tmp/berth-http-XXXXXX"))
        defer { free(template) }
        path = String(cString: try #require(mkdtemp(template)))
    }

    deinit {
        for name in names { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        let stream = try #require(fopen(file, "we"))
        fputs(text, stream)
        fclose(stream)
        names.insert(name)
        return file
    }

    func remove(_ name: String) { unlink("\(path)/\(name)") }
}

/// What a command prints.
func output(of command: String) throws -> String {
    let pipe = try #require(popen(command, "re"))
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = fread(&chunk, 1, chunk.count, pipe)
        if count == 0 { break }
        bytes += chunk[..<count]
    }
    #expect(pclose(pipe) == 0, "\(command)")
    return String(decoding: bytes, as: UTF8.self)
}
