/// Why a pool, or a reservation, cannot be used: the field at fault and what is wrong with it, with the value quoted.
package struct PoolProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// For example `spec.ranges[2]`.
    package let field: String
    package let message: String

    package init(field: String, message: String) {
        self.field = field
        self.message = message
    }

    package var description: String { "\(field): \(message)" }
}
