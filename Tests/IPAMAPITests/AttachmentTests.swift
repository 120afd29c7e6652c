import IPAMAPI
import Testing

@Suite struct AttachmentTests {
    static let attachment = Attachment(networkName: "blue", containerID: "c1", interface: "eth0")

    @Test func `the digest is SHA-256 over all three, each with its length before it`() {
        // printf '4:blue2:c14:eth0' | sha256sum | cut -c1-32
        #expect(Self.attachment.digest == "0280816d2a2e448b7e89919aeff60783")
        #expect(LabelValue.isValid(Self.attachment.digest))
    }

    @Test(
        arguments: [
            Attachment(networkName: "blue2", containerID: "c1", interface: "eth0"),
            Attachment(networkName: "blue", containerID: "c2", interface: "eth0"),
            Attachment(networkName: "blue", containerID: "c1", interface: "eth1"),
            // The same letters, divided otherwise.
            Attachment(networkName: "bluec", containerID: "1", interface: "eth0"),
            Attachment(networkName: "blue2:c1", containerID: "", interface: "eth0"),
        ])
    func `another attachment has another digest`(other: Attachment) {
        #expect(other.digest != Self.attachment.digest)
    }

    @Test func `it is described for people`() {
        #expect("\(Self.attachment)" == "interface eth0 of container c1 in network blue")
    }
}
