import IPAddressing
import Testing

/// A small generator with a seed (Steele, Lea and Flood 2014), so that a failing property can be run again.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// An address of which many bits and groups are often zero, as in real ones.
    mutating func address(_ family: IPFamily) throws -> IPAddress {
        var value = UInt128.random(in: 0...family.maximumValue, using: &self)
        if family == .v6 {
            for group in 0..<8 where Bool.random(using: &self) {
                value &= ~(0xffff << (16 * group))
            }
        }
        return try #require(IPAddress(family: family, value: value))
    }
}

extension IPFamily {
    /// The last address.
    var lastAddress: IPAddress {
        get throws { try #require(IPAddress(family: self, value: maximumValue)) }
    }
}

func address(_ text: String) throws -> IPAddress {
    try IPAddress(parsing: text)
}

func prefix(_ text: String) throws -> IPPrefix {
    try IPPrefix(parsing: text)
}

func range(_ text: String) throws -> IPRange {
    try IPRange(parsing: text)
}

/// An IPv4 set of ranges in any spelling, with spaces between them.
func set(_ text: String, family: IPFamily = .v4) throws -> IPSet {
    try IPSet(family: family, ranges: text.split(separator: " ").map { try IPRange(parsing: $0) })
}
