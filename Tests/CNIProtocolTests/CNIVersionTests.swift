import Testing

@testable import CNIProtocol

struct CNIVersionTests {
    @Test func `versions are declared and compared from the oldest to the newest`() {
        #expect(CNIVersion.allCases.sorted() == CNIVersion.allCases)
        #expect(CNIVersion.allCases.last == .newest)
        #expect(CNIVersion.assumed == .v010)
    }

    @Test func `every released version of the specification is supported`() {
        #expect(CNIVersion.list == "0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0")
    }

    @Test(arguments: ["", "1", "1.1", "1.1.0 ", "v1.1.0", "1.2.0", "0.4.1", "2.0.0"])
    func `a version is taken only as it is written`(text: String) {
        #expect(CNIVersion(rawValue: text) == nil)
    }

    @Test func `only the newest version has route attributes`() {
        #expect(CNIVersion.allCases.filter(\.hasRouteAttributes) == [.v110])
    }
}
