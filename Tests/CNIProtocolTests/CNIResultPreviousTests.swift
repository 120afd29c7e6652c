import CNIProtocol
import IPAddressing
import JSONText
import Testing

struct CNIResultPreviousTests {
    @Test(
        arguments: [
            // 1.0.0 and 1.1.0, as a main plugin completes it.
            (
                [
                    "cniVersion": "1.1.0", "interfaces": [["name": "eth0"]],
                    "ips": [
                        ["interface": 0, "address": "10.0.0.7/24", "gateway": "10.0.0.1"], ["address": "fd00::7/64"],
                    ],
                    "routes": [["dst": "0.0.0.0/0"]], "dns": [:],
                ], ["10.0.0.7/24", "fd00::7/64"]
            ),
            // 0.3.0 to 0.4.0.
            (["cniVersion": "0.4.0", "ips": [["version": "4", "address": "10.0.0.7/24"]]], ["10.0.0.7/24"]),
            // 0.1.0 and 0.2.0.
            (
                ["cniVersion": "0.2.0", "ip4": ["ip": "10.0.0.7/24", "routes": []], "ip6": ["ip": "fd00::7/64"]],
                ["10.0.0.7/24", "fd00::7/64"]
            ),
            (["ip6": ["ip": "fd00::7/64"], "ip4": nil], ["fd00::7/64"]),
            // Nothing, and what is not compared.
            ([:], []),
            (["ips": nil], []),
            (["ips": []], []),
            (
                ["ips": [["address": "10.0.0.7/24", "gateway": "nonsense"]], "routes": 5, "cniVersion": "9"],
                ["10.0.0.7/24"]
            ),
        ] as [(JSON, [String])])
    func `the addresses of every shape are read`(json: JSON, expected: [String]) throws {
        #expect(try CNIResult(prevResult: json).ips.map(\.address.description) == expected)
    }

    @Test(arguments: CNIVersion.allCases)
    func `what the plugin wrote it can read`(version: CNIVersion) throws {
        let result = try FakePlugin("10.0.0.7/24", "fd00::7/64").result
        #expect(try CNIResult(prevResult: result.json(for: version)) == result)
    }

    @Test(
        arguments: [
            (5, 6, "prevResult: expected an object, found a number"),
            (["ips": 5], 6, "prevResult.ips: expected a list, found a number"),
            (["ips": ["10.0.0.7/24"]], 6, "prevResult.ips[0]: expected an object, found a string"),
            (["ips": [["address": 7]]], 6, "prevResult.ips[0].address: expected a string, found a number"),
            (["ips": [["address": "10.0.0.7/24"], [:]]], 6, "prevResult.ips[1].address: missing"),
            (["ip4": ["ip": []]], 6, "prevResult.ip4.ip: expected a string, found a list"),
            (["ips": [["address": "10.0.0.7"]]], 7, "prevResult.ips[0].address: "),
            (["ip6": ["ip": "fd00::7/129"]], 7, "prevResult.ip6.ip: "),
        ] as [(JSON, Int, String)])
    func `what cannot be read is named by its path`(json: JSON, code: Int, message: String) {
        let error = cniError { _ = try CNIResult(prevResult: json) }
        #expect(error?.code == code)
        #expect(error?.message.hasPrefix("network configuration: \(message)") == true, "\(error?.message ?? "none")")
    }
}
