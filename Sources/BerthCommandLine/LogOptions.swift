import ArgumentParser
package import BerthLogging
package import Logging

package struct LogOptions: ParsableArguments {
    @Option(name: .customLong("log-level"), help: "debug, info, notice, warning or error.")
    package var level = LogThreshold.info

    @Option(name: .customLong("log-format"), help: "text or json.")
    package var format = LogLine.Format.text

    package init() {}
}

package enum LogThreshold: String, ExpressibleByArgument, CaseIterable {
    case debug, info, notice, warning, error

    package var level: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        }
    }
}

extension LogLine.Format: ExpressibleByArgument {}
