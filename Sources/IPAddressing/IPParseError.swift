/// Why a text is not the address, prefix or range that it should be.
///
/// The description quotes the text and says what is wrong with it, as in
/// `"10.0.0.01" is not an IP address: leading zero in "01"`. It is meant for people; code compares `reason`.
package struct IPParseError: Error, Hashable {
    /// The whole text as it was given.
    package let text: String
    /// What the text should have been.
    package let subject: Subject
    /// What is wrong with it.
    package let reason: Reason

    /// Says that `text` is not a `subject`, for this reason.
    package init(text: String, subject: Subject, reason: Reason) {
        self.text = text
        self.subject = subject
        self.reason = reason
    }

    /// What a text was parsed as.
    package enum Subject: Sendable, Hashable {
        /// An address, `10.0.0.7`.
        case address
        /// A prefix without host bits, `10.0.0.0/8`.
        case prefix
        /// An address with the length of its prefix, `10.0.0.7/24`.
        case interfaceAddress
        /// A range in one of its spellings, `10.0.0.1-10.0.0.9`.
        case range
        /// The first address of a range, given beside it.
        case rangeStart
        /// The last address of a range, given beside it.
        case rangeEnd
    }

    /// What is wrong with a text.
    package enum Reason: Error, Hashable {
        /// There is nothing where an address should be.
        case missingAddress
        /// This part has neither a dot nor a colon.
        case unrecognized(String)
        /// This character has no place in an address.
        case unexpectedCharacter(String)
        /// An IPv6 zone (RFC 4007 §11), which means something on one machine only.
        case zone(String)
        /// An octet of an IPv4 address has no digits.
        case emptyOctet
        /// This octet begins with a zero, which some readers take for octal (RFC 6943 §3.1.1).
        case leadingZero(String)
        /// This octet is above 255.
        case octetTooLarge(String)
        /// There are not four octets but this many.
        case octetCount(Int)
        /// A group of an IPv6 address has no digits, and no `::` stands there.
        case emptyGroup
        /// This group has more than four digits.
        case groupTooLong(String)
        /// There are not eight groups but this many.
        case groupCount(Int)
        /// `::` appears twice (RFC 4291 §2.2).
        case repeatedCompression
        /// `::` stands beside eight groups, where it must replace at least one (RFC 4291 §2.2).
        case needlessCompression
        /// There is no `/` with a prefix length.
        case missingPrefixLength
        /// This is not a prefix length of the family.
        case prefixLength(String, IPFamily)
        /// Bits after the prefix length are set; the prefix that was probably meant is this one.
        case hostBits(canonical: IPPrefix)
        /// One end of the range is IPv4, the other IPv6.
        case mixedFamilies
        /// The range ends before it begins.
        case reversedBounds
        /// The range is not, or not all, within the subnet.
        case outsideSubnet(IPRange, IPPrefix)
        /// The two ends of the range are not within one prefix of this length.
        case notWithinOnePrefix(length: Int)
    }
}

extension IPParseError: CustomStringConvertible {
    package var description: String {
        "\(quoted(text)) is not \(subject): \(reason)"
    }
}

extension IPParseError.Subject: CustomStringConvertible {
    package var description: String {
        switch self {
        case .address: "an IP address"
        case .prefix: "an IP prefix"
        case .interfaceAddress: "an IP address with a prefix length"
        case .range: "an IP range"
        case .rangeStart: "a valid start of the range"
        case .rangeEnd: "a valid end of the range"
        }
    }
}

extension IPParseError.Reason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .missingAddress: "an address is missing"
        case .unrecognized(let part): "\(quoted(part)) is neither dotted IPv4 nor colon-separated IPv6"
        case .unexpectedCharacter(let character): "unexpected character \(quoted(character))"
        case .zone(let zone): "a zone is not allowed, here \(quoted(zone))"
        case .emptyOctet: "empty octet"
        case .leadingZero(let octet): "leading zero in \(quoted(octet))"
        case .octetTooLarge(let octet): "octet \(quoted(octet)) is above 255"
        case .octetCount(let count): "\(count) \(count == 1 ? "octet" : "octets") instead of 4"
        case .emptyGroup: "empty group"
        case .groupTooLong(let group): "group \(quoted(group)) has more than four digits"
        case .groupCount(let count): "\(count) \(count == 1 ? "group" : "groups") instead of 8"
        case .repeatedCompression: "\"::\" appears twice"
        case .needlessCompression: "\"::\" stands for no group"
        case .missingPrefixLength: "a prefix length is missing"
        case .prefixLength(let length, let family):
            "\(quoted(length)) is not an \(family) prefix length, from 0 to \(family.bitWidth)"
        case .hostBits(let canonical): "it has host bits; the prefix is \(canonical)"
        case .mixedFamilies: "one end is IPv4, the other IPv6"
        case .reversedBounds: "it ends before it begins"
        case .outsideSubnet(let range, let subnet): "\(range) is not within \(subnet)"
        case .notWithinOnePrefix(let length): "its ends are not within one /\(length)"
        }
    }
}

/// The text in quotation marks, on one line and with an end: control characters escaped, 80 characters at most.
private func quoted(_ text: String) -> String {
    let limit = 80
    guard text.utf8.count > limit, text.count > limit else { return text.debugDescription }
    return String(text.prefix(limit)).debugDescription + "…"
}
