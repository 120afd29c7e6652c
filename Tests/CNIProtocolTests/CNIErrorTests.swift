import CNIProtocol
import JSONText
import Testing

struct CNIErrorTests {
    @Test func `the codes are those that the documentation gives`() {
        let codes = [
            CNIError.incompatibleVersion, CNIError.unsupportedField, CNIError.containerUnknown,
            CNIError.invalidEnvironment, CNIError.inputOutput, CNIError.undecodable, CNIError.invalidConfiguration,
            CNIError.tryAgainLater, CNIError.notAvailable, CNIError.notAvailableAndDegraded, CNIError.poolUnusable,
            CNIError.exhausted, CNIError.addressRefused, CNIError.notHeld, CNIError.forbidden,
            CNIError.untrustedServer, CNIError.ledgerMalformed, CNIError.annotationRefused,
        ]
        #expect(codes == [1, 2, 3, 4, 5, 6, 7, 11, 50, 51, 100, 101, 102, 103, 104, 105, 106, 107])
        #expect(CNIError.allCodes == Set(codes))
    }

    @Test func `details are written only where there are any`() {
        let plain = CNIError(code: 7, message: "name: missing")
        #expect(plain.json(version: .v040) == ["cniVersion": "0.4.0", "code": 7, "msg": "name: missing"])
        #expect(plain.description == "name: missing (code 7)")

        let detailed = CNIError(code: 101, message: "full", details: "pool blue")
        #expect(detailed.json(version: .newest)["details"] == "pool blue")
        #expect(detailed.description == "full; pool blue (code 101)")
    }

    @Test func `an error about a member names its path`() {
        let error = JSONDecodingError(path: "ipam.pools[1]", problem: "expected a string, found a number")
        let message = "network configuration: ipam.pools[1]: expected a string, found a number"
        #expect(CNIError(decoding: error) == CNIError(code: 6, message: message))
        #expect(CNIError(invalid: error) == CNIError(code: 7, message: message))
        #expect(throws: CNIError(code: 6, message: message)) {
            try CNIError.decoding { () throws(JSONDecodingError) in throw error }
        }
    }
}
