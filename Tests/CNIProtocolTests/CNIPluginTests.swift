import CNIProtocol
import Testing

struct CNIPluginTests {
    @Test func `a request gives what it was made of`() throws {
        var args = CNIArgs()
        args.podName = "p"
        let request = AttachmentRequest(
            configuration: try parseConfiguration(version: "0.4.0"),
            arguments: CNIArguments(containerID: "c", netns: nil, interface: "net1", cniArgs: args)
        )
        #expect(request.version == .v040)
        #expect(request.containerID == "c")
        #expect(request.netns == nil)
        #expect(request.interface == "net1")
        #expect(request.args.podName == "p")
        #expect(request.requestedAddresses.isEmpty)
        #expect(NetworkRequest(configuration: request.configuration).version == .v040)
    }

    @Test func `to discard an ADD is to delete, unless the plugin knows better`() throws {
        let plugin = try FakePlugin()
        let request = AttachmentRequest(
            configuration: try parseConfiguration(),
            arguments: CNIArguments(containerID: "c", netns: "/n", interface: "net1")
        )
        try plugin.discard(request)
        #expect(plugin.deleted.map(\.containerID) == ["c"])
    }
}
