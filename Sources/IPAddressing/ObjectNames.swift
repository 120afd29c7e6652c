// Addresses as names of Kubernetes objects, which are DNS-1123 subdomains: lower-case letters, digits, `-` and `.`.

extension IPAddress {
    /// The name of the object that stands for this address.
    ///
    /// IPv4 is the dotted quad, `10.19.120.7`. IPv6 is all eight groups with all four digits, joined by `-`:
    /// `fd00-0000-0000-0000-0000-0000-0000-0001`. IPv6 names are of one width, and sort as their addresses do.
    package var objectName: String {
        switch family {
        case .v4:
            description
        case .v6:
            String(unsafeUninitializedCapacity: AddressWriter.maximumIPv6Length) { buffer in
                var writer = AddressWriter(buffer: buffer)
                writer.writeFullIPv6(value, separator: UInt8(ascii: "-"))
                return writer.count
            }
        }
    }

    /// The address whose `objectName` is exactly this, or nil.
    package init?(objectName: some StringProtocol) {
        let objectName = String(objectName)
        self.init(objectNameBytes: objectName.utf8Span.span)
    }

    fileprivate init?(objectNameBytes bytes: Span<UInt8>) {
        if bytes.count == AddressWriter.maximumIPv6Length, let value = Self.groups(ofObjectName: bytes) {
            self.init(family: .v6, validValue: value)
        } else if let value = try? AddressText.dottedQuad(bytes) {
            self.init(family: .v4, validValue: UInt128(value))
        } else {
            return nil
        }
    }

    /// The value of eight groups of four lower-case digits joined by `-`; there are as many bytes as these need.
    private static func groups(ofObjectName bytes: Span<UInt8>) -> UInt128? {
        var value: UInt128 = 0
        for index in bytes.indices {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "-") where index % 5 == 4: continue
            case UInt8(ascii: "0")...UInt8(ascii: "9") where index % 5 != 4:
                value = value << 4 | UInt128(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f") where index % 5 != 4:
                value = value << 4 | UInt128(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }
}

/// The name of an allocation: an address within a network.
///
/// In the default network it is the object name of the address; in a named one `<network>.<address>`. It is parsed from
/// the right, where the address is, and a network begins with a letter and has no dot, so no name has two meanings.
package struct AllocationName: Sendable, Hashable {
    /// The isolation domain; empty for the default network.
    package let network: String

    /// The address.
    package let address: IPAddress

    /// The name of an address in the default network.
    package init(_ address: IPAddress) {
        self.network = ""
        self.address = address
    }

    /// The name of an address in a network, or nil when `network` is neither empty nor a valid name.
    package init?(network: String = "", address: IPAddress) {
        guard network.isEmpty || Self.isValidNetworkName(network) else { return nil }
        self.network = network
        self.address = address
    }

    /// The allocation whose `objectName` is exactly this, or nil.
    package init?(objectName: some StringProtocol) {
        let objectName = String(objectName)
        let bytes = objectName.utf8Span.span
        // The last label is an IPv6 address, or the last four are an IPv4 address.
        for labels in [1, 4] {
            let start = Self.startOfLast(labels, in: bytes)
            guard let address = IPAddress(objectNameBytes: bytes.extracting(start..<bytes.count)) else { continue }
            guard start > 0 else {
                self.init(address)
                return
            }
            let network = AddressText.string(bytes.extracting(0..<start - 1))
            guard !network.isEmpty else { return nil }
            self.init(network: network, address: address)
            return
        }
        return nil
    }

    /// The name of the object: `10.19.120.7`, or `blue.10.19.120.7` in the network `blue`. 103 bytes at most.
    package var objectName: String {
        network.isEmpty ? address.objectName : "\(network).\(address.objectName)"
    }

    /// Whether a name can be that of a network: a DNS-1123 label (RFC 1123 §2.1 in lower case, 63 bytes at most) that
    /// begins with a letter. The empty name of the default network is not one.
    package static func isValidNetworkName(_ name: String) -> Bool {
        let bytes = name.utf8Span.span
        guard 1...63 ~= bytes.count, bytes[bytes.count - 1] != UInt8(ascii: "-") else { return false }
        for index in bytes.indices {
            switch bytes[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): continue
            case UInt8(ascii: "0")...UInt8(ascii: "9") where index > 0: continue
            case UInt8(ascii: "-") where index > 0: continue
            default: return false
            }
        }
        return true
    }

    /// Where the last so many dot-separated labels begin; 0 when there are not more.
    private static func startOfLast(_ labels: Int, in bytes: Span<UInt8>) -> Int {
        var dots = 0
        for index in bytes.indices.reversed() where bytes[index] == UInt8(ascii: ".") {
            dots += 1
            if dots == labels {
                return index + 1
            }
        }
        return 0
    }
}

extension AllocationName: CustomStringConvertible {
    package var description: String {
        objectName
    }
}
