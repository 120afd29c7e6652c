import ArgumentParser
import IPAMAPI

/// A duration on the command line, as in `90s`, `1m30s` or `2h`.
package struct Seconds: ExpressibleByArgument, Sendable {
    package let duration: Duration

    package init(_ seconds: Int) { duration = .seconds(seconds) }

    package init?(argument: String) {
        guard let seconds = DurationText.seconds(argument) else { return nil }
        self.init(seconds)
    }

    package var defaultValueDescription: String { DurationText.text(seconds: Int(duration.components.seconds)) }
}
