import CNIProtocol
import JSONText
import Testing

private let seeds: [UInt64] = [1, 2, 3, 4]
private let verbs = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "UPDATE"]

/// A configuration that uses everything that the protocol parses.
private let everything = configuration([
    "runtimeConfig": [
        "ips": ["10.0.0.5", "fd00::5/64"],
        "ipRanges": [
            [["subnet": "10.0.0.0/24", "rangeStart": "10.0.0.5", "rangeEnd": "10.0.0.9", "gateway": "10.0.0.1"]]
        ],
    ],
    "args": ["cni": ["ips": ["10.0.0.6"]]],
    "prevResult": ["cniVersion": "1.1.0", "ips": [["address": "10.0.0.7/24"]], "ip4": ["ip": "10.0.0.7/24"]],
    "cni.dev/valid-attachments": [["containerID": "c1", "ifname": "eth0"]],
    "cni.dev/attachments": [["containerID": "c2", "ifname": "eth0"]],
])

private let everyArgument = "K8S_POD_UID=u;IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;IP=10.0.0.8,fd00::8/64"

extension RandomNumberGenerator {
    fileprivate mutating func bytes(below count: Int) -> [UInt8] {
        (0..<Int.random(in: 0..<count, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    /// A few bytes changed, removed, doubled, or a piece moved.
    fileprivate mutating func mutated(_ original: [UInt8]) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &self)
            switch Int.random(in: 0..<6, using: &self) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &self)
            case 1: bytes.remove(at: index)
            case 2: bytes.insert(bytes[index], at: index)
            case 3: bytes.removeSubrange(index...)
            case 4: bytes.insert(contentsOf: Array("[]{},:\"0\\".utf8).shuffled(using: &self).prefix(1), at: index)
            default:
                let end = Int.random(in: index..<bytes.count, using: &self)
                let piece = bytes[index...end]
                bytes.insert(contentsOf: piece, at: Int.random(in: 0...bytes.count, using: &self))
            }
        }
        return bytes
    }

    /// One value somewhere in a document put in place of another.
    fileprivate mutating func mutated(_ json: JSON) -> JSON {
        let others: [JSON] = [nil, true, 0, -1, "", "x", "10.0.0.1", [], [nil], [[]], [:], ["ips": 5], ["ips": [5]]]
        func other(_ generator: inout Self) -> JSON { others.randomElement(using: &generator) ?? nil }
        if Int.random(in: 0..<4, using: &self) == 0 { return other(&self) }
        switch json {
        case .array(var elements):
            guard let index = elements.indices.randomElement(using: &self) else { return other(&self) }
            elements[index] = mutated(elements[index])
            return .array(elements)
        case .object(let object):
            guard let member = object.members.randomElement(using: &self) else { return other(&self) }
            var changed = json
            changed[member.name] = mutated(member.value)
            return changed
        case .null, .bool, .number, .string: return other(&self)
        }
    }
}

/// Whether a call was answered as the protocol says: success, or one error object with a known code.
private func expectAnswer(_ variables: [String: String], _ input: [UInt8]) throws {
    let outcome = try dispatch(variables, .bytes(input))
    let description = "\(variables) \(String(decoding: input, as: UTF8.self)) -> \(outcome.output)"
    #expect(outcome.outputs.count <= 1, "\(description)")
    if outcome.status == 0 {
        #expect(outcome.code == nil, "\(description)")
        return
    }
    let json = try #require(outcome.json, "\(description)")
    #expect(outcome.status == 1, "\(description)")
    #expect(CNIError.allCodes.contains(outcome.code ?? -1), "\(description)")
    #expect(!outcome.message.isEmpty, "\(description)")
    #expect(CNIVersion(rawValue: json["cniVersion"]?.string ?? "") != nil, "\(description)")
}

@Suite(.timeLimit(.minutes(2)))
struct DispatcherFuzzTests {
    @Test(arguments: seeds)
    func `random bytes on standard input are answered`(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<300 {
            try expectAnswer(environment(verbs.randomElement(using: &generator) ?? ""), generator.bytes(below: 200))
        }
    }

    @Test(arguments: seeds)
    func `a configuration with some bytes changed is answered`(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<600 {
            let input = generator.mutated(Array(everything.utf8))
            try expectAnswer(environment(verbs.randomElement(using: &generator) ?? ""), input)
        }
    }

    @Test(arguments: seeds)
    func `a configuration with a value changed is answered`(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        let document = try JSON(parsing: everything)
        for _ in 0..<600 {
            let input = generator.mutated(document).serialized()
            try expectAnswer(environment(verbs.randomElement(using: &generator) ?? ""), input)
        }
    }

    @Test(arguments: seeds)
    func `an environment with some bytes changed is answered`(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<600 {
            var variables = environment(
                verbs.randomElement(using: &generator) ?? "",
                ["CNI_ARGS": everyArgument, "TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
            )
            let name = variables.keys.sorted().randomElement(using: &generator) ?? ""
            variables[name] = String(decoding: generator.mutated(Array((variables[name] ?? "").utf8)), as: UTF8.self)
            if variables["CNI_COMMAND"] == "" { continue }
            try expectAnswer(variables, Array(configuration(["prevResult": ["ips": []]]).utf8))
        }
    }

    @Test func `the unchanged document is accepted by every verb`() throws {
        for verb in verbs where verb != "UPDATE" {
            let outcome = try dispatch(environment(verb, ["CNI_ARGS": everyArgument]), .text(everything))
            #expect(outcome.status == 0, "\(outcome.output)")
        }
    }
}
