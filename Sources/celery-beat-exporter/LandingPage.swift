/// The page at `/`, for people who open the exporter in a browser.
enum LandingPage {
    /// - Parameter telemetryPath: checked to hold nothing that HTML reads as markup.
    static func html(telemetryPath: String) -> String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>celery-beat-exporter</title>
        <style>
        :root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
        body { margin: 3rem auto; max-width: 40rem; padding: 0 1rem }
        </style>
        </head>
        <body>
        <h1>celery-beat-exporter</h1>
        <p>Version \(Version.current)</p>
        <ul>
        <li><a href="\(telemetryPath)">Metrics</a></li>
        <li><a href="/-/healthy">Healthy</a>: whether the program runs</li>
        <li><a href="/-/ready">Ready</a>: whether every source has been asked once</li>
        </ul>
        </body>
        </html>

        """
    }
}
