internal import Exposition

extension String {
    /// UTF-8 bytes that what others say may have on a page, in an error and in the log.
    package static let maximumForeignBytes = 1024

    /// Its beginning; where that is not all, it says so.
    package func cut(toBytes maximum: Int = maximumForeignBytes) -> String {
        utf8.count > maximum ? "\(beginning(bytes: maximum))… (\(utf8.count) bytes)" : self
    }
}
