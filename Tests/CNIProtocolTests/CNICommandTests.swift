import Testing

@testable import CNIProtocol

struct CNICommandTests {
    @Test(arguments: [
        (CNICommand.add, CNIVersion.v010, ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        (.del, .v010, ["CNI_CONTAINERID", "CNI_IFNAME"]),
        (.check, .v040, ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        (.gc, .v110, []),
        (.status, .v110, []),
        (.version, .v010, []),
    ])
    func `each verb has its first version and its variables`(
        command: CNICommand, since: CNIVersion, variables: [String]
    ) {
        #expect(command.since == since)
        #expect(command.requiredVariables == variables)
    }

    @Test(arguments: ["add", "Add", "ADD ", "", "UPDATE"])
    func `a verb is taken only as the specification writes it`(text: String) {
        #expect(CNICommand(rawValue: text) == nil)
    }
}
