"""Put a mail that announces the report into outbox/ (the example sends nothing)."""

import os
from email.message import EmailMessage

import weather


def main() -> None:
    """Write the mail as a file that any mail program opens."""
    try:
        rows = weather.read_monthly(weather.REPORT / "monthly.csv")
    except OSError as error:
        weather.fail("Unable to read the merged figures", error)
    wettest = max(rows, key=lambda row: float(row["precipitation_mm"]))
    warmest = max(rows, key=lambda row: float(row["temp_max_mean"]))
    mail = EmailMessage()
    mail["To"] = os.environ.get("MAIL_TO", "nobody@example.com")
    mail["From"] = "data-pipeline@example.com"
    mail["Subject"] = f"{os.environ.get('REPORT_TITLE', 'Weather report')}: the report is ready"
    mail.set_content(
        f"The report over {len(rows)} months is ready:\n"
        f"  {weather.REPORT / 'report.html'}\n\n"
        f"Wettest month: {wettest['month']} with {wettest['precipitation_mm']} mm\n"
        f"Warmest month: {warmest['month']} with a mean daily maximum of {warmest['temp_max_mean']} °C\n\n"
        f"Made by run {os.environ.get('EXECUTIONER_RUN_ID', '-')} of data_pipeline.\n",
        cte="8bit",
    )
    target = weather.OUTBOX / "report_is_ready.eml"
    weather.write_text(target, mail.as_bytes().decode("utf-8"))
    print(f"To {mail['To']}: {mail['Subject']}")
    print(f"-> {weather.shown(target)}")


if __name__ == "__main__":
    main()
