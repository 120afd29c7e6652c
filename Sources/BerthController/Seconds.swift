import ArgumentParser
import IPAMAPI

/// A duration on the command line, as in `90s`, `1m30s` or `2h`.
struct Seconds: ExpressibleByArgument {
    let duration: Duration

    init(_ seconds: Int) { duration = .seconds(seconds) }

    init?(argument: String) {
        guard let seconds = DurationText.seconds(argument) else { return nil }
        self.init(seconds)
    }

    var defaultValueDescription: String { DurationText.text(seconds: Int(duration.components.seconds)) }
}
