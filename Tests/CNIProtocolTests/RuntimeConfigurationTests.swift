import CNIProtocol
import IPAddressing
import JSONText
import Testing

private let subnet = "10.0.0.0/24"

private func ranges(_ ranges: JSON) throws -> [[RuntimeRange]] {
    try parseConfiguration(["runtimeConfig": ["ipRanges": ranges]]).runtimeConfig.ipRanges
}

struct RuntimeConfigurationTests {
    @Test func `an absent section asks for nothing`() throws {
        #expect(try parseConfiguration().runtimeConfig == RuntimeConfiguration())
        #expect(try parseConfiguration(["runtimeConfig": ["mac": "00:11"]]).runtimeConfig == RuntimeConfiguration())
        #expect(try ranges([]).isEmpty)
    }

    @Test func `ranges are lists of alternatives`() throws {
        let parsed = try ranges([
            [
                ["subnet": "10.0.0.0/24", "rangeStart": "10.0.0.5", "rangeEnd": "10.0.0.9", "gateway": "10.0.0.1"],
                ["subnet": "10.1.0.0/24", "rangeStart": "", "rangeEnd": nil],
            ],
            [["subnet": "fd00::/64", "gateway": "fe80::1"]],
        ])
        #expect(parsed.map(\.count) == [2, 1])
        #expect(parsed[0][0].subnet == (try IPPrefix(parsing: "10.0.0.0/24")))
        #expect(parsed[0][0].rangeStart == (try IPAddress(parsing: "10.0.0.5")))
        #expect(parsed[0][0].rangeEnd == (try IPAddress(parsing: "10.0.0.9")))
        #expect(parsed[0][0].gateway == (try IPAddress(parsing: "10.0.0.1")))
        // Empty and null are absent.
        #expect(parsed[0][1].rangeStart == nil)
        #expect(parsed[0][1].rangeEnd == nil)
        #expect(parsed[1][0].gateway == (try IPAddress(parsing: "fe80::1")))
    }

    @Test func `a range of one address is in order`() throws {
        #expect(
            try ranges([[["subnet": .string(subnet), "rangeStart": "10.0.0.5", "rangeEnd": "10.0.0.5"]]]).count == 1)
    }

    @Test(
        arguments: [
            // Wrong types.
            (["ips": "10.0.0.1"], 6, "runtimeConfig.ips: expected a list, found a string"),
            (["ips": ["10.0.0.1", 5]], 6, "runtimeConfig.ips[1]: expected a string, found a number"),
            (["ipRanges": [:]], 6, "runtimeConfig.ipRanges: expected a list, found an object"),
            (
                ["ipRanges": [["subnet": "10.0.0.0/24"]]], 6,
                "runtimeConfig.ipRanges[0]: expected a list, found an object"
            ),
            (["ipRanges": [[5]]], 6, "runtimeConfig.ipRanges[0][0]: expected an object, found a number"),
            (
                ["ipRanges": [[["subnet": 5]]]], 6,
                "runtimeConfig.ipRanges[0][0].subnet: expected a string, found a number"
            ),
            // Wrong values.
            (["ips": ["10.0.0.1", "10.0.0"]], 7, "runtimeConfig.ips[1]: "),
            (["ipRanges": [[["subnet": "10.0.0.0/24"]], []]], 7, "runtimeConfig.ipRanges[1]: has no range"),
            (["ipRanges": [[[:]]]], 7, "runtimeConfig.ipRanges[0][0].subnet: missing"),
            (["ipRanges": [[["subnet": "10.0.0.1/24"]]]], 7, "runtimeConfig.ipRanges[0][0].subnet: "),
            (
                ["ipRanges": [[["subnet": "10.0.0.0/24"], ["subnet": "fd00::/64"]]]], 7,
                "runtimeConfig.ipRanges[0]: mixes IPv4 and IPv6"
            ),
            (
                ["ipRanges": [[["subnet": "10.0.0.0/24", "rangeStart": "x"]]]], 7,
                "runtimeConfig.ipRanges[0][0].rangeStart: "
            ),
            (
                ["ipRanges": [[["subnet": "10.0.0.0/24", "rangeStart": "10.0.1.0"]]]], 7,
                "runtimeConfig.ipRanges[0][0].rangeStart: 10.0.1.0 is not in the subnet 10.0.0.0/24"
            ),
            (
                ["ipRanges": [[["subnet": "10.0.0.0/24", "rangeEnd": "fd00::1"]]]], 7,
                "runtimeConfig.ipRanges[0][0].rangeEnd: fd00::1 is not in the subnet 10.0.0.0/24"
            ),
            (
                ["ipRanges": [[["subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"]]]], 7,
                "runtimeConfig.ipRanges[0][0].rangeEnd: 10.0.0.8 is below rangeStart 10.0.0.9"
            ),
            (
                ["ipRanges": [[["subnet": "10.0.0.0/24", "gateway": "fd00::1"]]]], 7,
                "runtimeConfig.ipRanges[0][0].gateway: fd00::1 is not of the family of 10.0.0.0/24"
            ),
        ] as [(JSON, Int, String)])
    func `what is wrong is named by its path`(section: JSON, code: Int, message: String) {
        let error = cniError { _ = try parseConfiguration(["runtimeConfig": section]) }
        #expect(error?.code == code)
        #expect(error?.message.hasPrefix("network configuration: \(message)") == true, "\(error?.message ?? "none")")
    }
}
