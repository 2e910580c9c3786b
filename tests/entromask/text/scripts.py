"""Sentences in several scripts, and pairs of words that only marks tell apart."""

SENTENCES = {
    "han": "自然語言處理是人工智慧的一個重要領域，研究如何讓電腦理解文字。",
    "devanagari": "हिन्दी में लिखा हुआ एक छोटा वाक्य, जो कि की और को को अलग रखता है।",
    "kana": "がぎぐげご と かきくけこ は ちがいます。パンとハンもちがう。",
    "thai": "ภาษาไทยมีวรรณยุกต์ กา ก่า ก้า และสระที่อยู่บนพยัญชนะ",
    "arabic": "كَتَبَ الوَلَدُ الدَّرْسَ فِي المَدْرَسَةِ وَكُتُبٌ كَثِيرَةٌ",
    "persian": "می\u200cخواهم کتاب\u200cها را بخوانم",
    "vietnamese": "Tiếng Việt có sáu thanh: ma, má, mà, mả, mã, mạ.",
    "emoji": "great 😀 ❤️ 👨\u200d👩\u200d👧 🥹 flags 🇩🇪 and 👍🏽 !",
}
# Each pair became one word where marks were stripped.
PAIRS = {
    "devanagari": ("कि", "की"),
    "kana": ("か", "が"),
    "thai": ("กา", "ก่า"),
    "arabic": ("كتب", "كُتُب"),
    "vietnamese": ("ma", "má"),
    "latin": ("schon", "schön"),
}
