/** One sample, compressed once by each tool that makes kernels; the bytes are as the tools wrote them. */

/** 6000 bytes of repeats, noise and x86 calls, the same every time. */
export function sample(): Buffer {
  const bytes = Buffer.alloc(6000);
  let state = 12345;
  const next = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 16;
  };
  for (let n = 0; n < bytes.length;) {
    const kind = next() % 4;
    if (kind === 0) {
      if (n + 5 <= bytes.length) {
        bytes[n] = 0xe8 + (next() & 1);
        bytes.writeInt32LE(0x200 + (next() & 3) * 64 - n, n + 1);
      }
      n += 5;
    } else if (kind === 1) {
      const byte = next() & 0xff;
      for (let left = next() % 90; left > 0 && n < bytes.length; left--) bytes[n++] = byte;
    } else if (kind === 2 && n > 64) {
      const distance = 1 + (next() % 64);
      for (let left = next() % 40; left > 0 && n < bytes.length; left--, n++) {
        bytes[n] = bytes[n - distance]!;
      }
    } else {
      for (let left = next() % 6; left > 0 && n < bytes.length; left--) bytes[n++] = next() & 0xff;
    }
  }
  return bytes;
}

const decode = (...lines: string[]): Buffer => Buffer.from(lines.join(''), 'base64');

/** Compressed forms of the sample. */
export const VECTORS: Readonly<Record<string, Buffer>> = {
  'xz with the x86 filter': decode(
    '/Td6WFoAAAFpIt42AgEEACEBEACLIW9J4BdvA8NdAHQRPEAMD4tTu/8Mly7npmnBYiY4i5PuMThGkZhIpF72+a9E3xe/',
    'A/qAk3oSZo5LA/fSbSCm0tgoIC/Gr0wf4mR7GlYmQcmrJFXSJdijSTNzmkw39HUkSpfNNnR6RQlKe3/6HGsoe0KHXH/c',
    '+x0DndKJkyb7SMg2qkeRhjClAVSzL09C6Aaet2KcI55R0yvnUfJqcwBxA/Q9nWGu++VGbchCFFDxTbOxntKt9N5moGNM',
    'WFBerjVxjLTP7ReE75kFvhhIfFT/ZBI0KDyFLbk2VICfX2cxeYSp3S0LKS/xlznOTw6TEBMaTNXdLJWMjM+Fkp+WcMLI',
    's5Hd/RllsWtyNyeD9TvrAjlG/834Lnz/62t+OQo3NW/WjP9L5VvsCxhZeY827z55eb7r6jJKNXUuL9do5xEltAw4ND3L',
    '5XcwHGKmp+J4wjbkhRy1k7r6xGJqi5GLItPVXiCLjRB9703GPhnjEgARBjnvDYiFWWSvliG9UgTlWo6T6/uai7Mosiy9',
    'gw9VcW428ylghG9ZCkk+r12b+coALwEbR4ibbkQ5wtEsv1Jr+ivanurt570XgTX56LYd+YoWLw3sjoh2pLJ4IrJeY5WK',
    'XWuL5OrkP8m11lZmt6bhSGNiKpVnABjRGdWkOkC2vx1nzlyB2ygUA0Gxi7qG5En5b+OKE1Jrx00+vurNsjhDqxralif5',
    'G6VPsnbLiJ49OqzJ1XUsSNPAaJzNKP4c7/5kzN+0z9jOYJYONYfA98UwC9dJgK5mKecrqjmO0VdyLJoO3Dp0twwGgLBI',
    'Ecu9VNBvrPcxAjT6EqavZAdxrAgGrGRSU5SZX/HoK5QV8C8MPY4MIorubQGyE10kOVB2LeSl1FuQEiBfJ1phYBfyUKHj',
    'dEApCF7oP+/EOZvgdSGw8SR1RoLm3AqwZB5ixZH0oT71E2Jbbj/AEd11NihC4gIqNVKR3H1qg2kcPj1MtUPfkMHmMkiq',
    'apTdaUqi9eC5dLTz3i5at1l5dxoMviR2KlpquzeU2c1fIeJm7dbp+XnVFsAewLFGT5CXwstfQ0NbsU7zVCMp+gFJpoch',
    '15scQmbdCGYQ02DF+ERYOy14vrMuDNrY9s0IeBgbQpm4RsjYaY4GVU3ebM6rEozBg8vjvgy6qw9BztIkJi1LhQTRLS19',
    'p11vOtqJmeWtRCl5EvErQzvAlhs57oMNzfD397CH5XS/sZTVYWHpRp47UK3SXb9mn0siWP69C586o1/00ZyVKj70GFSh',
    'B0yR56Ci5rCszRWfL5SEI5BAskk5XhPlD70CewAAneDJkQAB2wfwLgAAbJk5vT4wDYsCAAAAAAFZWg==',
  ),
  'xz without filter, crc64, lc=2 lp=2': decode(
    '/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4BdvA8kUAHQQfEYdQIc4Ps4gwUQL0j4Otqrvlng6VzXeXrkRg13cP6WO0mhz',
    'kWOZbne4DjBlP0h8/hO5dwHEc6+JKEumDpTrssmeBmPnhBE/i4JDqIO8viePvge2IkysOv7yggDQEcrYQzlGdsab5XkP',
    'tKch8G6go0+UWDenWxFhUtMZqfb8P6IwFEAxT0+C5bdnkP44ASgOIs3nYu+XSbYNArljqCl7rkIcOJJi8jc/tQVFkT66',
    'tRxqJbqLm7agZ8n/umvF2ii+D665VTYW7GdufZdPxYQPb3Rl6eokjRkD2m9im0QpPCqFSbeNbtoJgiZZ2RHZbH/+za9U',
    'lkg2NYSfaufj4isoDsFpV2mQyPG/pPNmpfiRyA3sIXWM/rjQ3MgmZStbcUpPwUKtkzdVNHcCIvtiNkAZSQnfnzJjFUQq',
    's6f88zmh0kB2D/TL+mHeeCrBQ56x4qvPxbs+s6HeIVjHsed4tncoQf3cRsLiAZICwrA09X4WKuyfuCoozJfx8kDP2dsG',
    'vblNrxnT/WswaURz72QIjOrXoOpty/nNA+Omaq8Sop0jmIx4gsNQwFWXKqVjgoxHaQlJSyF8vkDM9+qhyTtRdGZcU26V',
    'jwJgkUta3A+OGjglJXVxDM3z8z9AlfJvqnZgMwjT+jiT79fWq2ROPJaa8QkvutKYctbo146aealh+RXluaIErjM+NAb+',
    '4RvwVBmee4THE2LkpH9vpHs73gx3+oPclNmL0/wSJYhrAe3nVc44MVzKZMdQsCZ7RINB8eKECtqwU8DM54izsFae2qoi',
    '5C5AbR2R/R6T/Qk8vP43BaFuhq4xZzJTXUcA/XR4ZGLKsSivYr3QT8NUtj2vLG5wuOSaRN8COTZhPyOS0kivthGihymd',
    'FZHZMOU22y88l4ckEXLpL2va4DvrBEKbHRZV/XPdw0TSp7if8sOgT24djpQe9DrNEN5jG88R1EKrYyVeI7eYKzfItkB8',
    'HqO3nN0a+6Sj519yGnk5xSBt3Uk6hu1Be9ZAu9bH8jB7V8asHn++Sa4Nbd+kYhQSLVU1GntMyaJ+C+cqedjYl13YI0ZD',
    'Lcm6cMDeI6qdSc29+36Bf4gCyB5NK/rMOE/PSUCJVvAGNtV4mV2uP8BpksjGadKzW0xqrQm8b2cooDGcq7FUZ0l2RO8g',
    'eLqbrW+fBzjcSWeCNvlAETk12ha+Bchsj8Zn+F1tCovRFAH1aV9Ny3xAxmQqYVt7qQJpmBTBul75brZgQ/Xn763SiYOo',
    'eGI5sMuIlAazaiL4iADV3nMWJX96EysV2FCyTMq6dJZUoAAAAADd+uEYTAHSEAAB5QfwLgAAsf9Jg7HEZ/sCAAAAAARZ',
    'Wg==',
  ),
  lzma: decode(
    'XQAAAAT//////////wB0D/xADA+LU7v/DJcu56bAiBYw99MjCJAfTaroa0o/TTSw5kRVIdDPkb+y0+j3sZxZuMXo3JXT',
    'k7ZuMcHX8M2D6Q4O0zAyyq35veRk13su3/EbUdXWH9rXlbr9NlAUndyNh8IN3v29/7Qnv/JuPLd5qn+BnSY10qgDBlH7',
    'pTnqmfRFa+1aaON3FGjMhlQ6CzAJwbSkS6+VYTePelNjNMfhJ/NBLZyutj92LcW/AaHsnEUirpjXPhMVm52FxDUQVoAb',
    'Pnn/qbO6PxEgnvt55atZPuq8UU9O6SfpTfrM9Tv6QJmacUrOVuQ0vy+zi3FafEVefUOcTrnloh6qCz9tgpVefeLPkk+y',
    '9Jww175HAZJccS59090v3jEISThpItBwMuURMJ3J28HxUOAbvV5YPsHDQV3I2S+gTO+0VOni9kSwT8Khi/oR0NhxkvYp',
    'cG6N/RbHHZaR7VD9JFwLhDoZ70Vp5sZ7Ud2u/nSH9wBlJ+T+oMhjHDJ3obXHIsrs/N5hWUIm4EwYuWBqdtKF1X4wq3Il',
    'P41Y+LsgoNLE304hVMJiDJcZrfwoPl7ensOScp2umSFRMLa+61fyqZGjbvDCtr0n+6ZuiwYQtS7nDORcessLzZV41dzt',
    'sLD2GtqfADKNJDUgMPG0Pq6VWfYvMrNN44m/MzT/VudLN9mqmbVcLy9kEe2QnhYRfGvKR+rTqr+CSA1+KHqU9yFFBR55',
    'GNLukwUmLqdm4T6GMs+Mna9mrXaLmSjHtKWvHjWfS1w+6GltW6KAgj5WD7DuoGAAsX1t3WQNZvM0PV9W1dZLC0w60UWX',
    'FfYPqH0kX6SlImXYw+DJF8dFpzYNdPCubX3SKkp1/mQ4n6udFS5xffI5UqzxCp0/eLDqjAXOYB9fAMmnHX4RUXSO6Rfo',
    'IY+vE4mnu5P9sUV3xQ2Z0kkA1hgvS5PHSEU1lB12vt/Yv573T+SlmP3oAbyLQhaDbjC2qOwMS8wQWq6Xb3plDCdhhrN9',
    'Tj4e1AofjJCcMX42RmZgp3+S2jeW0R+HdFTEbT3DZqr8mUZZM3toe6dndYlVPvZ9MEVUyIOFoEjhz/H4tP0xDqDNpx8t',
    'tmxZm3Z4j6dc8X3k6udXb6vlKpwRX1RBqR+bQUM72qxWGRfQgssri81B4oXcSKsN6UKk0I7tC0aZfa/ePpCJpS/v8BFF',
    'hRVZnm+JDXHewRofFZvCfWRFHR8qUodahnOd6OSweKuXiMOWn2AKkD6aXlNCnw9RywObEiE9MgNuU2EDqd3ktK+gKU7N',
    'yLmNsmiIKdALibQ//gYPjFep1ng6atju/xXZOgA=',
  ),
  bzip2: decode(
    'QlpoOTFBWSZTWcKGjzYAAop/////////////7/9vvvfbXO7nP3e79t/ve7//b+fP////0AP+6W2gDR3c4IhREaj09Uw1',
    'M0JmiZpGT0TJtCNMmCYmjR6E2o0xDCYRhHohgmaBoEMmQyaGDU0NGIbUyY0ajJmUwDRN6mgAxNJ6gepoaADQAAANA0aA',
    'AAAAAAAANAAAAAaAAAAAGjQ9QeoAAAAGpRM0TahMNNI2p6mTGp6NEwTTEYTE0wahmoY0QGJphDEwCMhkaMTAAamjAj1N',
    'MjTGhPSMmACaNNMAjEAAaAABoyAAGjQDINNAAAAAwg0AAAMg0AAA0yYEaAAAAAAaAMIBJJCGk0yE9EQ9R6YUyZPTUDNG',
    'jRA/UmEGT0DJM1NpGTTJtT09U8o0bTTQ1DJiPSD1GRiDTagMjT0gaaaB6jyhpkNqaPROk3fc4fegTJk4HEGoGcPslKTX',
    'lxb4D6/m115NuCdDfXWRPQruHohj4G1EIjRHxisRki4g9naTC4RFYKs7KKgHA8HlzBazvhofg3hZWTpzc2UtXlWgdLwa',
    'pBX5VUo9UHLpKWOUhGTgZdPoOfzr/oRqMKeeFRFm5OlpU6q8xPvIxTfJI9GDLY0VNdaV5XCynU43W50+8mUvQC+DBeGl',
    'lWoykQIT7umHCN0+uvBOcDJzaBbeVN6vMvVI5Aiida9Bs2hxZDh/Q9jQuX1YTQsnbrH+XzzZL1tGREdQA5X7McDjc0Se',
    '/lFGBVD8QBhT2hLjkdePXMKkiqtowsmyJlYKpwcXDuKl2DDmbTSU1yRmWWhLEWQ9jQml2Hw2ZHw2Hzk833fDRRYVn4ZA',
    'DRUu90oBpIb4FR4LlQDi0C3IGAdiqb8n3Xax66gqfGTI5EeglHsv1Kg1NqnWHhZ2y1ki0pNltqfVwJEgLFy2fa+DWRLL',
    'sIunslBkp/8NcVAMFwWWBtOZWy6VBZybDGjiVislw4C+bPAok6tMoY6SKlL3+xq7YhDfzdIsLZUa0Y3A7g5ldqliDb19',
    '5wp85Hkm0eC38AzbeQwVY56dH+K6oS4UKJvLo9jEi4IZwX6So+7imavnQ3URcfQmwGDH0kC5UaHeicbUHswLHP95vIfK',
    'V6woCq3obYST1MMNlLSY58JTaBA15/r+4XwT2iFu+72HF4cJF8Tr7+VbnCoo1qoPMW6VLKm2PLniPXehIW7CGDLKZxrd',
    'f1VIxzCJaZDK707h67FwdNnxBGDru5jA+GHiUqBtXjPPvfq0ryI7CGRaRoWRrE/eJhh7515pwQ474V+5XQeDkbcOVoLt',
    'iT7W/z5srNKmIA0zpgGeQRRkEPXCGACzs0AiwVOsMubZAIU1CrBRldkogLPHNr18u0eXEUsuMC612+UnNbwTtrOOLacP',
    'p4DhTJbVvGHxEYXH0jnjDcKumgw7dXqptvYYGL+aaHJLWcQWLFDT2HBfu6jYhYGF7iiI1rKoV/6j3jx3CNGE/0ysQ+jv',
    '8HRd1C+3Wk2zeQq1ktV9ruTQ4wfC48YKLYpYJ8xqPAI5ARQUBtSg9dP70AJK9jwE1BHKROBGDDbwiYA4Tqk0Yanyyl9C',
    'uLELWUTgsg5jAl4zTAqXE2n2/0YALIOyqFoSK0SLF1sD4eMgNALtTV1zKu8mDx1bpL5ogEbwiU9qmHoEaSJX2I42BxCS',
    'SH5f/SlWEjKIEH9ER+rTnpC1o9JWCTwNxZeZ/3uCD8Bx2NOaONhIE3J9QX/qrzLgZ4RvWMIqJPUPCGY5qrqO7pk5c2vy',
    'HPLm5nyRmDCtnJGeIAwpBqPDRz6zU5OZiejfJaa4Sy/r5BCDOMYtkWwyAXQZJIfZAjRsnYY7cEwOqzZ0YoLpSKCBoOjI',
    'gUHE6UWEsSTKMzIKCF6IooPRX8uynBmZ5ElorESOYcL8SF4nkpaJD8lJ8v47/WBGnU9GeFiJ8i6uATMKgoQdEi4mXDRJ',
    'nTlC5zo7z8tGMvQogWFGuKO+LuSKcKEhhQ0ebA==',
  ),
  zstd: decode(
    'KLUv/WRwFu0eAPbupkBg6E0H48k7aEt2Z5jJ7IiyBVVXgZp4HblGuzOb29tvt1ZsrOozhOM1wyGTpujCyj9n40McQHoQ',
    '4xEApK+/R8gOlwCXAJQAp7+1U49upClFCWrVT80qDBXmGvhUzjo9ndESiUE+dVsCPZ6OboPp1ymoT1elDrN0OMFzEvF1',
    'FurXKVU4YP4K9evE1g1HHhtxpiyBb0fiuHpOQh3ohUU/IIDYlj+SGmRtD4MexAw/mmmavxrsKnPINHfAapomWpnWWtPc',
    'bW1Pj9KaJm9pgz3T3CHX90uKUAbHBDLT5K2oAWCEGpbQFFFgE1KlZhz0yt5GfXJtkQ1YfHmlVd1SXxm2hOorTayxuIZ1',
    'fKXa+uldfekR9MsN9eOC9ZckVqrrTATyyS8P1CoSfD4fkk2Jl8OwG7BkUL1ckX25NXVs0NlWnWHZgja/KEadUjr7oQCV',
    'SstBbBHmexsa/ZyWZTBE7dMK6+JTEPtzZZVHXTraT9vqG1KBKCCLPwdMyj9RrCEUUXS8cEiKu/Nnhn0j9QDsz6n6o3r9',
    'mdZHdxuCT5M/vZbs6enpUaalWvBo2yLFKtKjwFrIQ5+qR6NsAyNsXY8ssggSPLKpvqEKYIeQGKsJSB6Oaw90gQJeyePh',
    'FMNlwNbD+dkbXp+E2k9O7cOx1TDApjGi8pMc6pldU5MsESUzIDjZT35VKwW+zM76cMoaU44CzfF5RGJV7kmYmakxi0X4',
    'Iypu2Rfd9otK6heZ1C9ebYQhZFCyeJ/IwV5l1Uj6tcjygUWmajjixRvR1Deq2aGbLmnSpPyRt2+csxfGvrgxBCbA7I8A',
    'FgMYDQLmG/Gs1R8/rBbU/pHK/om0GugIj+cfeWzbjiw6xox/mtg/U2wT2tsY4ZIkTbz8abR/RCsUV5uAoqChUGUMgoam',
    'FKUZA6AQEdkBvpST5wRY9WLy8MhwQDykBUIQm0KPTu8ABxOe/qLUGOijNuPDtp9Igtm7mogchblIybWdDJveRSkHprOh',
    'MPgkiJdTggN3fI+xG4xHNIlzlR5aIRmrPLO87rBBwHJ+0ol76QZdkJpiOQUgAvcwEZtobANgO5/LE0glKhc++bjIoFAG',
    'nbq0od+eIziC4hyKAA1AfRMCAqIsmSSq0xAmSg9QAOhg5xqVcXQvO6FdUNqLfRCS5ogzo0x8p3KKJ1HqxPb2MOTukYXB',
    'Kh1ROvSkU3cpKXntmJoa8Jn3KfoBG2RpAMYV4DWDKhESGCCIpEAGmZd8SbhJ10EtwIonRKZE4zCK4LoOUJgCG2HuFfCa',
    'e0dOL6Esgk7b8+ESFbwYlJweAFQcaNrFMdgIAMRO+gIq/k8SuA==',
  ),
  lz4: decode(
    'AiFMGDoFAAD0BOhAAgAArR1arBseXxPp8wEAABABAB+vAQAkr+ktAgAA6SgCAAAgAAwPOAANFdEBAB8QAQANv+l5AQAA',
    '6XQBAAD/AQBiEjUBAH3o8gAAAOhthwAPHwAFL+qsAQAoH4EBACYfrwEAWF/oXwAAACIAC0+9////BwAGbybkYhLVywEA',
    'Hx9qOwAYX+h7////NAADhPjQ3Whf+iTyEADvXLQ4aui9EHz3eNZt+JEBAD5RxVfOWtQBAKHpp/7//+gi////GQAfogEA',
    'Dh/EAQA6IOgofwCvI/7//zI4AjssmTMAEB/eAQAN3+iU/f//6A/+///e3t4MADWP/K/p/f3//2IBABEfBwEAK2/p1Pz/',
    '/2oBABEPQAAJ8A3k5OkM/f//OOnG/P//CekA/f//P0roufz//+h0BQCfr/z//44ovlkOEQAIL+jKKgAW/wjpX/z//9xE',
    'bUMIF9bo0/z//+kO/P//LQEACQczACDoYS0ADwUAE6/otfv//+kw/P//HwACH0gBACBv6SL8///DAQAEH24BABsfEgEA',
    'BA8zABGf6Zr7//8M3tYTFAADb6BH5Fu+RQEAVB/yAQA9Hw8BADNPZbooRhMAFGHoS/r//78BAPQEEbXeyXm646jouPn/',
    '/+lz+f//UAEADxkAEA8qAAefTGYq6SX5//83AQBEL7vzAQAvTxMTExwBAEUflAEACm/oCvj//4oBAEoPDAEccDK6gUXp',
    'NPi0BJz3///oKvj//+ADAC/Ri0AAEQ8EAAsfXRIAAwUQAAoDAB8QAQA8H9kBADv7AOnD9v//8GbL7O/pOfb//x4AwOjl',
    '9v//6aD2///omwUAX1b2//+hAQAqIkQUbQFv6cv1//9DAQAib+kQ9v//4wEAEI/vw1Nr0B/uvQEAKR8tAQAW7ye0ouj2',
    '9P//6PH0//+5AQAK8gmLCJXoi/X//+mG9f//Gk1/cOl99f//6Lg5ACDpsEYAXCv1///2AQCh5Kg2baTo0PT//zEAIOlG',
    'RQBQQfX//4kBABVZAQAPEwABr+nZ9P//eQadpfEBAAgcLgEAb86WbUGeCgEADl/pfPT//x4AIx97AQA6HB0BAH9WpeXK',
    'BFDCNAASb+g28///DQEAJmELCwsL6XNDAA8LAAUPZA0aP9B3FAEAQ4/pjvL//1PYLgEABcvm6G3y//8X6Kfy//8lBX/p',
    '0/L//xFQAQBEgek18v//PT09gAAfrQEAAAcbAP0D6Ynx//+F1zHpAfL//+j88f//JAAxiehlFwAPCAAFb+hG8f//jAEA',
    'BI8YRcLpJvH//yIACf8JzPceK5/IQzzn6Tzx///2Nb98Qejy8P//LwAO/wrpDPH//5+FfYC0qta9Nuk+8f//6Tnx///v',
    'AQA68AKoXJlg0+lh8P//8fC0yCfpF2cAL5LwZwAAH+kBADePQXTpL/D//1YBAAlv6c3v//8AAQAHTwdOjCUBABOb6QPw',
    '//+5BYznGAA/waGoFgAN+gEk6cfv///pAvD//5C+s57BHwAf3gEAILHptu///+ix7///SQEAHzMBACRv3jMz3lOrAQBn',
    'H2YBAGgfZAEAEWJnR18eUWcLAAYGAA8LAAIfXQEAOF/pFu3//xgAAD8CZ40BAAcPJgATAwEACu4EDyoACS9uGyYAEgIH',
    'AF/pXez//wwAAa/ohOz//+h/7P//EQATb+nU7P//tQEAD07p7Ov/KQAPMQA1Cy0AAQ8AChsAj7SX6arr//9GAQAdH64B',
    'ABAeoDIAAK4MHfkBAG/op+v//9cBACU9+98O3BNQkZGRkZE=',
  ),
};
