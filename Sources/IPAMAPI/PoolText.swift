import IPAddressing

/// Parses the texts of a pool, and turns what is wrong with them into problems of a field.
enum PoolText {
    /// A prefix that is written in its one canonical form, so that equal prefixes are equal texts.
    static func prefix(_ text: String, field: String) throws(PoolProblem) -> IPPrefix {
        let prefix = try parse(field) { () throws(IPParseError) in try IPPrefix(parsing: text) }
        guard prefix.description == text else {
            throw PoolProblem(field: field, message: "\(text.debugDescription) must be written \"\(prefix)\"")
        }
        return prefix
    }

    static func address(_ text: String, field: String) throws(PoolProblem) -> IPAddress {
        try parse(field) { () throws(IPParseError) in try IPAddress(parsing: text) }
    }

    /// A range that lies in the subnet.
    static func range(_ text: String, field: String, subnet: IPPrefix) throws(PoolProblem) -> IPRange {
        let range = try parse(field) { () throws(IPParseError) in try IPRange(parsing: text) }
        try check(range.family, of: text, field: field, subnet: subnet)
        guard subnet.contains(range) else { throw outside(text, field: field, subnet: subnet) }
        return range
    }

    static func check(
        _ family: IPFamily, of text: String, field: String, subnet: IPPrefix
    ) throws(PoolProblem) {
        guard family == subnet.family else {
            throw PoolProblem(
                field: field, message: "\"\(text)\" is \(family), but the subnet \(subnet) is \(subnet.family)")
        }
    }

    static func outside(_ text: String, field: String, subnet: IPPrefix) -> PoolProblem {
        PoolProblem(field: field, message: "\"\(text)\" is not within the subnet \(subnet)")
    }

    private static func parse<Value>(
        _ field: String, _ parse: () throws(IPParseError) -> Value
    ) throws(PoolProblem) -> Value {
        do {
            return try parse()
        } catch {
            throw PoolProblem(field: field, message: error.description)
        }
    }
}
