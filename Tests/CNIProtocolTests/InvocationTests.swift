import JSONText
import Testing

@testable import CNIProtocol

private func input(_ text: String) -> Input { Input(.success(Array(text.utf8))) }

struct InvocationTests {
    @Test func `an object is taken with its members`() throws {
        let input = input(" {\"cniVersion\": \"0.4.0\", \"name\": \"a\"}\n")
        #expect(try input.fields.get().value("name") == "a")
        #expect(input.requestedVersion == "0.4.0")
        #expect(input.errorVersion == .v040)
    }

    @Test(
        arguments: [
            // Nothing is asked for.
            ("", nil, .newest), ("not JSON", nil, .newest), ("[]", nil, .newest),
            ("{\"cniVersion\": 5}", nil, .newest),
            // The first version is assumed.
            ("{}", nil, .v010), ("{\"cniVersion\": \"\"}", nil, .v010), ("{\"cniVersion\": null}", nil, .v010),
            // The plugin does not speak it.
            ("{\"cniVersion\": \"3.0.0\"}", "3.0.0", .newest),
        ] as [(String, String?, CNIVersion)])
    func `the version to answer in is found where there is one`(
        text: String, requested: String?, error: CNIVersion
    ) {
        #expect(input(text).requestedVersion == requested)
        #expect(input(text).errorVersion == error)
    }

    @Test(arguments: [
        ("", "network configuration: standard input is empty"),
        ("  ", "network configuration: not JSON: unexpected end at byte 2"),
        ("{\"a\": 1,}", "network configuration: not JSON: expected a member's name in quotes at byte 8"),
        ("[]", "network configuration: expected an object, found a list"),
        ("null", "network configuration: expected an object, found null"),
    ])
    func `what is no JSON object is an error of code 6`(text: String, message: String) {
        #expect(throws: CNIError(code: 6, message: message)) { try input(text).fields.get() }
    }

    @Test func `what cannot be read is an error of code 5`() {
        let input = Input(.failure(StandardInputError(reason: "Bad file descriptor")))
        let error = CNIError(code: 5, message: "cannot read standard input: Bad file descriptor")
        #expect(throws: error) { try input.fields.get() }
        #expect(input.errorVersion == .newest)
    }
}
