import CNIProtocol
import JSONText
import Testing

private func requested(_ members: JSON, ip: String? = nil) throws -> [String] {
    var args = CNIArgs()
    args.ip = ip
    return try parseConfiguration(members).requestedAddresses(args).map(\.description)
}

struct RequestedAddressTests {
    @Test(
        arguments: [
            ("10.0.0.5", nil), ("10.0.0.5/24", 24), ("10.0.0.5/0", 0), ("fd00::5", nil), ("fd00::5/64", 64),
        ] as [(String, Int?)])
    func `an address may carry its prefix length`(text: String, length: Int?) throws {
        let address = try RequestedAddress(parsing: text)
        #expect(address.length == length)
        #expect(address.description == text)
    }

    @Test(arguments: ["", "/", "/24", "10.0.0.5/", "10.0.0.5/33", "10.0.0.5/24/24", "10.0.0", "host", " 10.0.0.5"])
    func `anything else is no address`(text: String) {
        #expect(throws: (any Error).self) { try RequestedAddress(parsing: text) }
    }

    @Test(
        arguments: [
            ([:], nil, []),
            ([:], "10.0.0.1", ["10.0.0.1"]),
            ([:], "10.0.0.1/24,fd00::1/64", ["10.0.0.1/24", "fd00::1/64"]),
            (["args": ["cni": ["ips": ["10.0.0.2"]]]], nil, ["10.0.0.2"]),
            (["args": ["cni": ["ips": ["10.0.0.2"]]]], "10.0.0.1", ["10.0.0.2"]),
            (["runtimeConfig": ["ips": ["10.0.0.3"]]], "10.0.0.1", ["10.0.0.3"]),
            (
                ["runtimeConfig": ["ips": ["10.0.0.3", "fd00::3"]], "args": ["cni": ["ips": ["10.0.0.2"]]]], "10.0.0.1",
                ["10.0.0.3", "fd00::3"]
            ),
            // An empty list asks for nothing.
            (["runtimeConfig": ["ips": []], "args": ["cni": ["ips": []]]], "10.0.0.1", ["10.0.0.1"]),
            (["runtimeConfig": nil, "args": ["cni": nil]], "10.0.0.1", ["10.0.0.1"]),
            (["args": ["other": ["ips": "x"]]], "10.0.0.1", ["10.0.0.1"]),
            // What is overruled is not looked at.
            (["args": ["cni": ["ips": ["10.0.0.2"]]]], "nonsense", ["10.0.0.2"]),
        ] as [(JSON, String?, [String])])
    func `the strongest source that names any counts`(members: JSON, ip: String?, expected: [String]) throws {
        #expect(try requested(members, ip: ip) == expected)
    }

    @Test(
        arguments: [
            ([:], "10.0.0.1,10.0.0.1", 7, "CNI_ARGS: IP: 10.0.0.1 is requested twice"),
            ([:], "10.0.0.1/24,10.0.0.1/25", 7, "CNI_ARGS: IP: 10.0.0.1 is requested twice"),
            (
                ["runtimeConfig": ["ips": ["fd00::1", "fd00:0::1"]]], nil, 7,
                "runtimeConfig.ips: fd00::1 is requested twice"
            ),
            (
                ["args": ["cni": ["ips": ["10.0.0.1", "10.0.0.1"]]]], nil, 7,
                "args.cni.ips: 10.0.0.1 is requested twice"
            ),
            ([:], "10.0.0.1,", 4, "CNI_ARGS: IP=10.0.0.1,: "),
            ([:], "10.0.0.1, 10.0.0.2", 4, "CNI_ARGS: IP=10.0.0.1, 10.0.0.2: "),
            ([:], "10.0.0.300", 4, "CNI_ARGS: IP=10.0.0.300: "),
        ] as [(JSON, String?, Int, String)])
    func `duplicates and nonsense are refused`(members: JSON, ip: String?, code: Int, message: String) {
        let error = cniError { _ = try requested(members, ip: ip) }
        #expect(error?.code == code)
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "no error")")
    }
}
